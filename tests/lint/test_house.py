"""The rules of the house find what they are for, and leave the rest alone: small trees, one rule each."""

import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
HOUSE = TOP / "tools" / "house.py"
sys.dont_write_bytecode = True
sys.path.insert(0, str(HOUSE.parent))

import house  # noqa: E402

# A tree in which nothing is wrong; each test puts its own files over it.
CLEAN = {
    "core/base/text.h": "#ifndef PM_BASE_TEXT_H\n#define PM_BASE_TEXT_H\n\nint pm_text(void);\n\n#endif\n",
    "core/base/text.c": '#include "core/base/text.h"\n\n#include <string.h>\n\n'
                        "int pm_text(void)\n{\n    return 0;\n}\n",
    "core/http/server.h": "#ifndef PM_HTTP_SERVER_H\n#define PM_HTTP_SERVER_H\n\n"
                          '#include "core/base/text.h"\n\n#endif\n',
    "core/http/server_priv.h": "#ifndef PM_HTTP_SERVER_PRIV_H\n#define PM_HTTP_SERVER_PRIV_H\n\n"
                               '#include "core/http/server.h"\n\n#endif\n',
    "core/main.c": '#include "core/base/text.h"\n',
    "plugins/pointsman.h": "#ifndef POINTSMAN_H\n#define POINTSMAN_H\n\n#include <stddef.h>\n\n#endif\n",
    "README.md": "# A tree\n",
}


def found(folder, files):
    """`path:line: text` of every finding in the clean tree with these files on top."""
    for name, text in {**CLEAN, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [f"{path}:{line}: {text}" for path, line, text in house.check(folder)[0]]


def include(*names):
    return "".join(f'#include "{name}"\n' for name in names)


def guarded(word, body=""):
    return f"#ifndef {word}\n#define {word}\n{body}#endif\n"


def function(lines):
    """A function of so many lines."""
    return "static int f(int a,\n             int b)\n{\n" + "    a += b;\n" * (lines - 4) + "}\n"


HEADER = {f"core/{room}/a.h": guarded(f"PM_{room.upper()}_A_H")
          for room in ("base", "loop", "conf", "channel", "api", "http", "route", "store", "upstream", "gateway",
                       "manager", "cli", "web")}

# name: files, where the finding must be, what it must say
WRONG = {
    # rooms
    "higher floor": ({"core/base/x.c": include("core/http/server.h")}, "core/base/x.c:1", "a higher floor"),
    "higher floor, far": ({**HEADER, "core/conf/x.c": include("core/cli/a.h")}, "core/conf/x.c:1", "a higher floor"),
    "same floor": ({**HEADER, "core/api/x.c": include("core/conf/a.h")}, "core/api/x.c:1", "the same floor"),
    "gateway and manager": ({**HEADER, "core/manager/x.c": include("core/gateway/a.h")}, "core/manager/x.c:1",
                            "the same floor"),
    "in a header": ({"core/loop/x.h": guarded("PM_LOOP_X_H", include("core/http/server.h"))}, "core/loop/x.h:3",
                    "a higher floor"),
    "with blanks": ({"core/base/x.c": '  #  include   "core/http/server.h"\n'}, "core/base/x.c:1", "a higher floor"),
    "relative": ({"core/base/x.c": include("text.h")}, "core/base/x.c:1", "from the top of the tree"),
    "through a parent": ({"core/http/x.c": include("../base/text.h")}, "core/http/x.c:1", "from the top"),
    "angled": ({"core/base/x.c": "#include <core/http/server.h>\n"}, "core/base/x.c:1", "include it in quotes"),
    "private header": ({"core/upstream/x.c": include("core/http/server_priv.h")}, "core/upstream/x.c:1", "private to"),
    "private in public": ({"core/http/x.h": guarded("PM_HTTP_X_H", include("core/http/server_priv.h"))},
                          "core/http/x.h:3", "a public header shows"),
    "unknown room": ({"core/attic/x.c": ""}, "core/attic/x.c:1", "is not a room"),
    "include of an unknown room": ({"core/cli/x.c": include("core/attic/a.h")}, "core/cli/x.c:1", "is not a room"),
    "policies from elsewhere": ({"core/gateway/x.c": include("plugins/pointsman.h")}, "core/gateway/x.c:1",
                                "only core/route speaks to policies"),
    # policies
    "policy uses the core": ({"plugins/mine.c": include("pointsman.h", "core/base/text.h")}, "plugins/mine.c:2",
                             "a policy may include"),
    "policy in a folder": ({"plugins/mine/mine.c": include("core/base/text.h")}, "plugins/mine/mine.c:1",
                           "a policy may include"),
    "policy uses another": ({"plugins/mine.c": include("other.h")}, "plugins/mine.c:1", "a policy may include"),
    # includes
    "own header later": ({"core/base/text.c": "#include <stdio.h>\n" + include("core/base/text.h")},
                         "core/base/text.c:1", "the first include must be"),
    "own header never": ({"core/base/text.c": "int pm_text(void);\n"}, "core/base/text.c:1", "the first include"),
    "twice": ({"core/base/x.c": "#include <a.h>\n#include <b.h>\n#include <a.h>\n"}, "core/base/x.c:3",
              "twice (line 1)"),
    "many": ({"core/base/x.c": "".join(f"#include <a{i}.h>\n" for i in range(21))}, "core/base/x.c:1", "21 includes"),
    # guards
    "no guard": ({"core/base/x.h": "int pm_x(void);\n"}, "core/base/x.h:1", "#ifndef PM_BASE_X_H"),
    "guard of another": ({"core/base/x.h": guarded("PM_X_H")}, "core/base/x.h:1", "PM_BASE_X_H"),
    "guard not defined": ({"core/base/x.h": "#ifndef PM_BASE_X_H\n#define PM_BASE_Y_H\n#endif\n"}, "core/base/x.h:1",
                          "PM_BASE_X_H"),
    "guard outside core": ({"tests/lib/x.h": guarded("X_H")}, "tests/lib/x.h:1", "PM_TESTS_LIB_X_H"),
    # sizes
    "long file": ({"core/base/x.c": "int a;\n" * 800}, "core/base/x.c:800", "less than 800"),
    "long header": ({"core/base/x.h": guarded("PM_BASE_X_H", "int a;\n" * 247)}, "core/base/x.h:250", "less than 250"),
    "long script": ({"tools/x.sh": "true\n" * 800}, "tools/x.sh:800", "less than 800"),
    "long function": ({"core/base/x.c": "\n" + function(80)}, "core/base/x.c:2", "f has 80 lines"),
    "long function, brace in line": ({"core/base/x.c": "int g(void) {\n" + "    a();\n" * 78 + "}\n"},
                                     "core/base/x.c:1", "g has 80 lines"),
    "long method": ({"tools/x.py": "class A:\n    def m(self):\n" + "        self.a()\n" * 79}, "tools/x.py:2",
                    "m has 80 lines"),
    "wide": ({"core/base/x.c": "int a; /* " + "a" * 109 + "*/\n"}, "core/base/x.c:1", "121 columns"),
    # calls
    "strcpy": ({"core/base/x.c": "void f(void)\n{\n    strcpy(a, b);\n}\n"}, "core/base/x.c:3", "strcpy()"),
    "sprintf with a blank": ({"plugins/x.c": "int a = sprintf (b, c);\n"}, "plugins/x.c:1", "sprintf()"),
    "atoi": ({"tests/x.c": "int a = atoi(b);\n"}, "tests/x.c:1", "hides errors"),
    "alloca": ({"core/base/x.c": "char *a = alloca(n);\n"}, "core/base/x.c:1", "knows no limit"),
    "malloc": ({"core/http/x.c": "char *a = malloc(n);\n"}, "core/http/x.c:1", "pm_calloc"),
    "strdup": ({"core/http/x.c": "char *a = strdup(n);\n"}, "core/http/x.c:1", "pm_strdup"),
    "shell": ({"core/cli/x.c": 'int a = system("ls");\n'}, "core/cli/x.c:1", "starts a shell"),
    # dead code
    "call in a comment": ({"core/base/x.c": "// foo();\n"}, "core/base/x.c:1", "code in a comment"),
    "assignment in a comment": ({"core/base/x.c": "int a;\n/* b->c[0] = d + 1; */\n"}, "core/base/x.c:2",
                                "code in a comment"),
    "block in a comment": ({"core/base/x.c": "/*\n * if (a == b) {\n */\n"}, "core/base/x.c:2", "code in a comment"),
    "include in a comment": ({"core/base/x.c": '/*\n#include "core/http/server.h"\n*/\n'}, "core/base/x.c:2",
                             "code in a comment"),
    "return in a comment": ({"core/base/x.c": "/* return -1; */\n"}, "core/base/x.c:1", "code in a comment"),
    "never compiled": ({"core/base/x.c": "#if 0\nint a;\n#endif\n"}, "core/base/x.c:1", "never compiled"),
    # leftovers
    "no issue": ({"core/base/x.c": "/* TO" "DO: more */\n"}, "core/base/x.c:1", "without an issue"),
    "no issue in a script": ({"tools/x.sh": "true # FIX" "ME\n"}, "tools/x.sh:1", "without an issue"),
    "three letters": ({"README.md": "X" "XX\n"}, "README.md:1", "without an issue"),
    # blanks
    "tab": ({"core/base/x.c": "int\ta;\n"}, "core/base/x.c:1", "a tab"),
    "trailing": ({"README.md": "a \nb\n"}, "README.md:1", "blanks at the end of the line"),
    "carriage return": ({"README.md": "a\r\n"}, "README.md:1", "a carriage return"),
    "unended": ({"core/base/x.c": "int a;"}, "core/base/x.c:1", "no line feed"),
    "empty end": ({"core/base/x.c": "int a;\n\n"}, "core/base/x.c:2", "empty lines at the end"),
    # words
    "registry": ({"tools/x.sh": "a\ncurl https://registry.npm" "js.org/x\n"}, "tools/x.sh:2", "a registry's host"),
    "registry in a lock": ({"tests/e2e/package-lock.json": '{"a": "https://py' 'pi.org"}\n'},
                           "tests/e2e/package-lock.json:1", "a registry's host"),
    "registry in a corpus": ({"tests/fuzz/corpus/conf/a": b"A=http://deb.DEB" b"IAN.org/\xc3\xa9"},
                             "tests/fuzz/corpus/conf/a:1", "a registry's host"),
    "one machine's path": ({"README.md": "see /" "home/me/notes\n"}, "README.md:1", "a path of one machine"),
    "one machine's path, quoted": ({"tools/x.py": 'A = "/' 'root/a"\n'}, "tools/x.py:1", "a path of one machine"),
}

# What looks like one of these and is none.
RIGHT = {
    "the tree": {},
    "lower floors": {**HEADER, "core/gateway/x.c": include(*(f"core/{room}/a.h" for room in (
        "base", "loop", "conf", "channel", "api", "http", "route", "store", "upstream", "gateway")))},
    "main": {**HEADER, "core/main.c": include("core/base/a.h", "core/cli/a.h", "core/gateway/a.h",
                                                      "core/manager/a.h")},
    "own private header": {"core/http/x.c": include("core/http/server_priv.h")},
    "private from private": {"core/http/x_priv.h": guarded("PM_HTTP_X_PRIV_H", include("core/http/server_priv.h"))},
    "route and policies": {"core/route/x.c": include("plugins/pointsman.h")},
    "tests see all": {"tests/unit/x.c": include("core/http/server_priv.h", "unit.h")},
    "a policy": {"plugins/mine.c": "#include <string.h>\n" + include("pointsman.h")},
    "a policy of several files": {"plugins/mine/mine.c": include("pointsman.h", "words.h")},
    "no own header": {"core/http/parts.c": "#include <string.h>\n" + include("core/http/server.h")},
    "just below the limits": {"core/base/x.c": function(79) + "int a;\n" * (799 - 79),
                              "core/base/w.h": guarded("PM_BASE_W_H", "int a;\n" * 246),
                              "core/base/y.c": "int a; /* " + "a" * 108 + "*/\n",
                              "core/base/z.c": "".join(f"#include <a{i}.h>\n" for i in range(20))},
    "two functions": {"core/base/x.c": function(60) + "\n" + function(60)},
    "a table": {"core/base/x.c": "static const int a[] = {\n" + "    F(1),\n" * 90 + "};\n"},
    "bounded calls": {"core/base/x.c": "int a = snprintf(b, 1, c) + my_strcpy(b) + t->system(1) + t.gets(1);\n"},
    "texts of units": {"tests/unit/x.c": "int a = strcat(b, c);\n"},
    "calls in texts": {"core/base/x.c": '/* never strcpy() */\nconst char *a = "atoi(b) \\" malloc(1)";\n'
                                        "char q = '\"';\n"},
    "the allocator": {"core/base/alloc.c": "void *pm_calloc(void)\n{\n    return calloc(1, 1);\n}\n"},
    "a policy's memory": {"plugins/mine.c": "void *a = malloc(1);\n"},
    "sentences": {"core/base/x.c": "/* Calls fn for each element; frees it (the caller owns none). */\n"
                                   "/* So that `return pm_error_set(...)` reads well. */\n"
                                   "/* if the peer (or its proxy) has gone */\n"
                                   "/* An example:\n *\n *     pm_thing_do(thing);\n */\n"
                                   "int a; /* the limit = 3 of them */\n"},
    "an issue": {"core/base/x.c": "/* TO" "DO(#12): more; FIX" "ME #3 */\n"},
    "other words": {"tools/x.sh": "mktemp -d /tmp/a.X" "XXXXX\necho TO" "DOS\n"},
    "tabs of make": {"Makefile.am": "all:\n\ttrue\n", "tests/local.mk": "x:\n\ttrue\n", "GNUmakefile": "y:\n\ttrue\n"},
    "any bytes in a corpus": {"tests/fuzz/corpus/json/a": b"{\t} \r\n\xff TO" b"DO",
                              "tests/http/cases/a.case": "a\t\r\n"},
    "folders of variables": {"tools/x.sh": 'a=$dir/root/x b="${c}/home/x" d=own/work/x e=./root/x f=/work\n'},
    "what is built": {"build/x.c": "int\ta;\n", "build-fuzz/x.c": "int\ta;\n", "configure": "\t\n",
                      "tests/sdk/node_modules/a.js": "\t\n", "out/config.status": "", "out/x.c": "int\ta;\n"},
    "no text": {"models/a.gguf": b"GGUF\x00\xff\t \r\n"},
}


@pytest.mark.parametrize("name", WRONG)
def test_found(tmp_path, name):
    files, where, what = WRONG[name]
    findings = found(tmp_path, files)
    assert len(findings) == 1, findings
    assert findings[0].startswith(f"{where}: ") and what in findings[0], findings[0]


@pytest.mark.parametrize("name", RIGHT)
def test_left_alone(tmp_path, name):
    assert found(tmp_path, RIGHT[name]) == []


def run(*words):
    return subprocess.run([sys.executable, "-B", str(HOUSE), *map(str, words)], capture_output=True, text=True,
                          timeout=60, check=False)


def test_command(tmp_path):
    found(tmp_path, {})
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (0, "house: 7 files, clean\n")
    (tmp_path / "core/base/x.c").write_text("int a = atoi(b);\n")
    done = run(tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("core/base/x.c:1: atoi() is not used here") and "1 findings" in done.stdout


def test_wrong_use(tmp_path):
    assert run("--what").returncode == 2
    done = run(tmp_path)
    assert done.returncode == 2 and "no core/" in done.stderr
