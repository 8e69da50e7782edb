#!/usr/bin/env python3
"""The rules of the house, checked: what a compiler does not see.

    tools/house.py [DIR]

Reads the tree DIR (the one this file lies in by default) and prints each finding as
`file:line: what is wrong: what to do`. Exits 0 when there is none, 1 else. tools/lint.sh runs it.

The rules: which room may include which (docs/ARCHITECTURE.md, "Rooms"), own header first, sizes,
calls that are not used here, include guards, blanks, leftovers, and words that belong to one machine.
Standard library only; it reads text, it does not compile.
"""

import ast
import os
import re
import sys
from bisect import bisect_right
from pathlib import Path, PurePosixPath

# The law of the rooms. A room includes rooms of lower floors and itself; its neighbours it does not know.
FLOORS = [
    {"base", "web"},
    {"learn"},
    {"loop"},
    {"conf", "channel", "api"},
    {"http", "route", "store"},
    {"upstream"},
    {"gateway", "manager"},
    {"cli"},
    {"main"},
]
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
POLICY_HEADER = "plugins/pointsman.h"
POLICY_HEADER_READERS = {"route"}
# This one is trained by our own program, and reads what that wrote by the same code.
LEARNED_POLICY, LEARN_ROOM = "plugins/learned.c", "core/learn/"

MAX_FILE_LINES = 800
MAX_HEADER_LINES = 250
MAX_FUNCTION_LINES = 80
MAX_COLUMNS = 120
MAX_INCLUDES = 20

_BOUNDED = "it knows no limit: use snprintf, memcpy with a checked length, or struct pm_buf"
_NUMBERS = "it hides errors: use pm_int_parse or pm_real_parse (strtoll or strtod outside core/)"
_OWN_ALLOC = "only core/base/alloc.c may: use pm_calloc, pm_realloc, pm_strdup, pm_strndup or pm_asprintf"
BANNED = {
    "strcpy": _BOUNDED, "strcat": _BOUNDED, "stpcpy": _BOUNDED, "strncpy": _BOUNDED, "strncat": _BOUNDED,
    "sprintf": _BOUNDED, "vsprintf": _BOUNDED, "gets": _BOUNDED,
    "atoi": _NUMBERS, "atol": _NUMBERS, "atoll": _NUMBERS, "atof": _NUMBERS,
    "strtok": "it keeps a hidden state and writes into its input: use strcspn, or pm_strv_split",
    "alloca": "it knows no limit and cannot fail: use the heap, or an array with a constant size",
    "system": "it starts a shell: use pm_child_start",
    "popen": "it starts a shell: use pm_child_start",
}
ALLOCATORS = ("malloc", "calloc", "realloc", "reallocarray", "strdup", "strndup", "asprintf", "vasprintf")
ALLOC_FILE = "core/base/alloc.c"

# What is looked at. Inputs of tests may hold any byte: only the words are checked there.
C_SUFFIXES = {".c", ".h"}
CODE_SUFFIXES = C_SUFFIXES | {".py", ".sh", ".mjs", ".js"}
TEXT_SUFFIXES = CODE_SUFFIXES | {".ac", ".am", ".mk", ".md", ".in", ".json", ".conf", ".html", ".css", ".svg", ".yml",
                                 ".1", ".5", ".toml", ".cfg", ".ini"}
TEXT_NAMES = {"GNUmakefile", "README", "CHANGELOG", ".gitignore", ".editorconfig", ".clang-format", ".clang-tidy"}
TAB_SUFFIXES = {".mk", ".am"}
TAB_NAMES = {"GNUmakefile"}
RAW_FOLDERS = ("tests/fuzz/corpus/", "tests/http/cases/", "weights/prompts/")
SKIPPED_FOLDERS = {".git", "node_modules", "__pycache__", ".pytest_cache", "autom4te.cache", "build-aux"}
GENERATED = {"configure", "configure~", "config.log", "config.status", "aclocal.m4", "Makefile.in"}
MAX_BYTES = 1 << 20

# Joined here, so that this file passes its own rule.
REGISTRIES = [("debian", "org"), ("ubuntu", "com"), ("npmjs", "org"), ("npmjs", "com"), ("pypi", "org"),
              ("pythonhosted", "org"), ("crates", "io"), ("golang", "org"), ("rubygems", "org"), ("docker", "io"),
              ("ghcr", "io"), ("quay", "io")]
REGISTRY = re.compile(r"\b(?:%s)\b" % "|".join(r"\.".join(parts) for parts in REGISTRIES), re.I)
# A path of somebody's machine, not the end of a longer one such as $dir/root/.
MACHINE_PATH = re.compile(r"(?<![\w.$})*/-])/(?:%s)/[\w.-]" % "|".join(("work", "root", "home")))
LEFTOVER = re.compile(r"\b(?:%s)\b" % "|".join(("TO" "DO", "FIX" "ME", "X" "XX")))
ISSUE = re.compile(r"[ (]*#\d+")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]*)[>"]', re.M)
FUNCTION_OPEN = re.compile(r"^[A-Za-z_][^\n;=#]*\)[ \t]*(?:[A-Z_]+[ \t]*)?\{[ \t]*$")
DEAD_CODE = re.compile(
    r"(?:(?:[\w\]\[.]|->|\* ?)+ *[-+*/|&^]?= *[^=].*;"  # an assignment
    r"|(?:[A-Za-z_][\w ]*[ *]+)?[A-Za-z_]\w*(?:(?:\.|->)\w+)*\(.*\) *;"  # a call or a declaration
    r"|(?:return|goto|break|continue)\b[^.,]*;"
    r"|(?:if|for|while|switch|else if) *\(.*\) *\{?"
    r"|\} *else\b.*|# *(?:include|define|if|ifdef|ifndef|else|endif|undef)\b.*|[{}])$")
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|' r"'(?:\\.|[^'\\\n])*'", re.S)


class File:
    """One file of the tree, with what several rules need of it."""

    def __init__(self, path, text):
        self.path = path
        self.text = text
        self.lines = text.split("\n")
        if self.lines[-1] == "":
            self.lines.pop()
        pure = PurePosixPath(path)
        self.name = pure.name
        self.suffix = pure.suffix
        self.is_c = self.suffix in C_SUFFIXES
        self.is_raw = path.startswith(RAW_FOLDERS)
        self.starts = [0] + [m.end() for m in re.finditer("\n", text)]
        self.comments = []  # (line, text) of each
        self.code = self._mask() if self.is_c else text

    def line_at(self, offset):
        return bisect_right(self.starts, offset)

    def room(self):
        """The room of a file in core/, or an empty text."""
        parts = self.path.split("/")
        if parts[0] != "core":
            return ""
        return parts[1] if len(parts) > 2 else PurePosixPath(parts[1]).stem

    def includes(self):
        """(line, quoted or angled, name) in the order of the file; not those in comments."""
        out = []
        for m in INCLUDE.finditer(self.text):
            if "#" in self.code[m.start():m.end()]:
                out.append((self.line_at(m.start(1)), m.group(1), m.group(2)))
        return out

    def _mask(self):
        """The text with comments and the insides of literals blanked, every line where it was."""
        def blank(m):
            token = m.group()
            if token.startswith("/"):
                self.comments.append((self.line_at(m.start()), token))
                return re.sub(r"[^\n]", " ", token)
            return token[0] + re.sub(r"[^\n]", " ", token[1:-1]) + token[-1]

        return TOKEN.sub(blank, self.text)


def read_tree(root):
    """Every text file below `root` that is a source: neither built, nor generated, nor fetched."""
    files = []
    for folder, folders, names in os.walk(root):
        here = Path(folder).relative_to(root)
        top = str(here) == "."
        folders[:] = sorted(
            f for f in folders
            if f not in SKIPPED_FOLDERS and not (top and (f == "build" or f.startswith("build-")))
            and not (Path(folder) / f / "config.status").exists())
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_symlink() or (top and name in GENERATED) or path.stat().st_size > MAX_BYTES:
                continue
            data = path.read_bytes()
            relative = (here / name).as_posix()
            try:
                files.append(File(relative, data.decode("utf-8")))
            except UnicodeDecodeError:
                if not relative.startswith(RAW_FOLDERS) and is_text(relative):
                    files.append(File(relative, data.decode("utf-8", "replace")))
    return files


def is_text(path):
    pure = PurePosixPath(path)
    return pure.suffix in TEXT_SUFFIXES or pure.name in TEXT_NAMES


# --- the rooms ---


def check_core_include(f, room, name):
    """What is wrong with this quoted include in that room, or None."""
    if name == POLICY_HEADER:
        if room in POLICY_HEADER_READERS:
            return None
        return f"only core/route speaks to policies, core/{room} may not include {name}: go through core/route"
    parts = name.split("/")
    if parts[0] != "core" or len(parts) != 3:
        return f'"{name}" is not a room\'s header: include "core/ROOM/NAME.h", from the top of the tree'
    other = parts[1]
    if other not in FLOOR_OF:
        return f"core/{other} is not a room: correct the path, or give the room its floor in tools/house.py"
    if other == room:
        return None
    if name.endswith("_priv.h"):
        return f"{name} is private to core/{other}: use that room's public header"
    if FLOOR_OF[other] < FLOOR_OF[room]:
        return None
    where = "the same floor as" if FLOOR_OF[other] == FLOOR_OF[room] else "a higher floor than"
    return (f"core/{other} is on {where} core/{room}: move what is shared down, "
            "or let the higher room pass it in")


def rule_rooms(f):
    room = f.room()
    if not f.is_c or not room:
        return
    if room not in FLOOR_OF:
        yield 1, f"core/{room} is not a room: move the file, or give the room its floor in tools/house.py"
        return
    for line, kind, name in f.includes():
        if kind == "<" and name.split("/")[0] in ("core", "plugins"):
            yield line, f'<{name}> is one of our own headers: include it in quotes'
        elif kind == '"':
            wrong = check_core_include(f, room, name)
            if wrong:
                yield line, wrong
            elif f.suffix == ".h" and name.endswith("_priv.h") and not f.name.endswith("_priv.h"):
                yield line, f"a public header shows {name}: declare the struct, include it in the .c"


def rule_policies(f):
    """A policy is built by others from the one header: ours must live by the same rule."""
    if not f.is_c or not f.path.startswith("plugins/") or f.path == POLICY_HEADER:
        return
    own = PurePosixPath(f.path).parent
    for line, kind, name in f.includes():
        if kind == "<" and name.split("/")[0] not in ("core", "plugins"):
            continue
        if f.path == LEARNED_POLICY and name.startswith(LEARN_ROOM):
            continue
        beside = len(own.parts) > 1 and "/" not in name and name != "pointsman.h"
        if kind == "<" or not (name == "pointsman.h" or beside):
            yield line, f"a policy may include pointsman.h and system headers only, not {name}: ask the host for it"


def rule_own_header(f, paths):
    if f.suffix != ".c" or not f.path.startswith("core/"):
        return
    own = f.path[:-2] + ".h"
    if own not in paths:
        return
    includes = f.includes()
    if not includes or includes[0][2] != own:
        line = includes[0][0] if includes else 1
        yield line, f'the first include must be "{own}": so the header is known to stand alone'


def rule_includes(f):
    if not f.is_c:
        return
    seen = {}
    for line, _, name in f.includes():
        if name in seen:
            yield line, f"{name} is included twice (line {seen[name]}): remove one"
        seen.setdefault(name, line)
    if len(seen) > MAX_INCLUDES:
        yield 1, f"{len(seen)} includes, at most {MAX_INCLUDES}: split the file by what it needs"


def rule_guard(f):
    if f.suffix != ".h":
        return
    path = f.path[5:] if f.path.startswith("core/") else f.path
    word = re.sub(r"\W", "_", path).upper()
    wanted = "POINTSMAN_H" if f.path == POLICY_HEADER else "PM_" + word
    m = re.search(r"^[ \t]*#[ \t]*ifndef[ \t]+(\w+)[ \t]*\n[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]*$", f.code, re.M)
    if not m:
        yield 1, f"no include guard: begin with #ifndef {wanted} and #define {wanted}"
    elif m.group(1) != wanted or m.group(2) != wanted:
        yield f.line_at(m.start()), f"the include guard {m.group(1)} is not named after the path: {wanted}"


# --- sizes ---


def functions(f):
    """(first line, last line, name) of each function, by the house's layout: its end is a brace in column one."""
    lines = f.code.split("\n")
    head = None
    for i, line in enumerate(lines, 1):
        if line.startswith("}") and head is not None:
            yield head[0], i, head[1]
            head = None
        elif head is None and (FUNCTION_OPEN.match(line) or (line.rstrip() == "{" and i > 1)):
            begin = i
            # Up over the lines of the signature, to the one that starts in the first column.
            while begin > 1 and not (re.match(r"[A-Za-z_]", lines[begin - 1]) and "(" in lines[begin - 1]):
                if begin < i and not lines[begin - 1].strip():
                    break
                begin -= 1
            m = re.search(r"(\w+)\s*\(", lines[begin - 1])
            if m:
                head = begin, m.group(1)


def python_functions(f):
    try:
        tree = ast.parse(f.text)
    except SyntaxError as err:
        yield err.lineno or 1, 0, f"does not parse ({err.msg})"
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno, node.name


def rule_sizes(f):
    if f.suffix not in CODE_SUFFIXES or f.is_raw:
        return
    # The header of policies is the only one that others have: it stays one.
    most = MAX_HEADER_LINES if f.suffix == ".h" and f.path != POLICY_HEADER else MAX_FILE_LINES
    if len(f.lines) >= most:
        yield most, f"{len(f.lines)} lines, a {f.suffix} has less than {most}: split it where the subject changes"
    found = functions(f) if f.is_c else python_functions(f) if f.suffix == ".py" else ()
    for first, last, name in found:
        if not last:
            yield first, f"{name}: correct it"
        elif last - first + 1 >= MAX_FUNCTION_LINES:
            yield first, (f"{name} has {last - first + 1} lines, a function has less than {MAX_FUNCTION_LINES}: "
                          "give its steps names of their own")
    for number, line in enumerate(f.lines if f.is_c else [], 1):
        if len(line) > MAX_COLUMNS:
            yield number, f"{len(line)} columns, at most {MAX_COLUMNS}: break the line"


# --- what is not written here ---


def rule_calls(f):
    if not f.is_c:
        return
    # Units put texts of known length together from literals.
    if f.path.startswith("tests/unit/"):
        return
    banned = dict(BANNED)
    if f.path.startswith("core/") and f.path != ALLOC_FILE:
        banned.update((name, _OWN_ALLOC) for name in ALLOCATORS)
    for m in re.finditer(r"(?<![\w.>])(%s)\s*\(" % "|".join(banned), f.code):
        yield f.line_at(m.start()), f"{m.group(1)}() is not used here, {banned[m.group(1)]}"


def rule_dead_code(f):
    if not f.is_c:
        return
    for first, comment in f.comments:
        body = comment[2:] if comment.startswith("//") else comment[2:-2]
        for number, line in enumerate(body.split("\n"), first):
            text = re.sub(r"^\s*\*(?!\w)", "", line)
            # Set in by four, it is an example in a description.
            if not text.startswith("     ") and DEAD_CODE.match(text.strip()):
                yield number, "code in a comment: remove it, the history has it"
    for m in re.finditer(r"^[ \t]*#[ \t]*if[ \t]+0\b", f.code, re.M):
        yield f.line_at(m.start()), "code that is never compiled: remove it, the history has it"


def rule_leftovers(f):
    if f.is_raw:
        return
    for number, line in enumerate(f.lines, 1):
        for m in LEFTOVER.finditer(line):
            if not ISSUE.match(line, m.end()):
                yield number, f"{m.group()} without an issue: do it, or write {m.group()}(#NUMBER)"


def rule_blanks(f):
    if f.is_raw or not is_text(f.path):
        return
    tabs = f.suffix in TAB_SUFFIXES or f.name in TAB_NAMES
    for number, line in enumerate(f.lines, 1):
        if line.endswith("\r"):
            yield number, "a carriage return ends the line: lines end in LF"
        elif line != line.rstrip(" \t"):
            yield number, "blanks at the end of the line: remove them"
        if "\t" in line and not tabs:
            yield number, "a tab: use spaces"
    if f.text and not f.text.endswith("\n"):
        yield len(f.lines), "no line feed at the end of the file: add it"
    elif f.text.endswith("\n\n"):
        yield len(f.lines), "empty lines at the end of the file: remove them"


def rule_words(f):
    for number, line in enumerate(f.lines, 1):
        for m in REGISTRY.finditer(line):
            yield number, f"{m.group()} is a registry's host: let the package tool's own settings name it"
        m = MACHINE_PATH.search(line)
        if m:
            yield number, f"{m.group()}... is a path of one machine: make it relative, or a variable"


RULES = [rule_rooms, rule_policies, rule_includes, rule_guard, rule_sizes, rule_calls, rule_dead_code,
         rule_leftovers, rule_blanks, rule_words]


def check(root):
    """Findings of a tree as (path, line, text), sorted, and the number of files."""
    files = read_tree(Path(root))
    paths = {f.path for f in files}
    found = []
    for f in files:
        for rule in RULES:
            found.extend((f.path, line, text) for line, text in rule(f))
        found.extend((f.path, line, text) for line, text in rule_own_header(f, paths))
    return sorted(set(found)), len(files)


def main(argv):
    if len(argv) > 1 or (argv and argv[0].startswith("-")):
        print("usage: tools/house.py [DIR]", file=sys.stderr)
        return 2
    root = Path(argv[0]) if argv else Path(__file__).resolve().parents[1]
    if not (root / "core").is_dir():
        print(f"tools/house.py: {root} is not the top of the tree: it has no core/", file=sys.stderr)
        return 2
    found, files = check(root)
    for path, line, text in found:
        print(f"{path}:{line}: {text}")
    print(f"house: {files} files, {len(found)} findings" if found else f"house: {files} files, clean")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
