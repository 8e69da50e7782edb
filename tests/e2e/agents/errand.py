"""The task that a cloud of the tests and an agent do together, with the agent's own shell.

The cloud has the agent run two commands at once, then one that fails, and ends with a sentence
that holds a word which only the first command's output could tell it.
"""

import json
import re
import secrets

from script import Script
from turns import Turn

# the names that agents give their shell, and where in its arguments the command goes
SHELLS = {"Bash": "command", "bash": "command", "exec_command": "cmd", "shell": "command",
          "run_shell_command": "command", "execute_command": "command",
          "run_commands": "commands"}
ODD = "ünïcode ☃ \"quoted\" back\\slash \U0001f680"
# there are agents that lose the output of a command which ends at once
LATER = "sleep 0.3"
EMPTY = {"string": "", "boolean": False, "integer": 1000, "number": 1000, "array": [],
         "object": {}}
WORD = re.compile(r"WORD-[0-9a-f]{12}")


class Errand:
    """What the cloud says, request by request, and whether all of it was done in the end."""

    question = ("Errand: find the word. Run `cat word.txt` with your shell tool, then tell me "
                "the word in one sentence.")

    def __init__(self):
        self.folder = None
        self.word = f"WORD-{secrets.token_hex(6)}"
        self.heard = []

    def begin(self, folder):
        self.folder = folder
        (folder / "word.txt").write_text(self.word + "\n")

    def plan(self, asked, body):
        name = next((name for name in SHELLS if name in asked.tools), None)
        if name is None or "Errand:" not in "".join(asked.said("user")):
            # titles, summaries and what else agents ask beside their task
            return Script(text="An errand")
        results = [text for _, text in asked.said("result")]
        self.heard = results
        if not results:
            return self._script(name, asked, f"cat word.txt && echo done > made.txt; {LATER}",
                                f"printf '%s\\n' '{ODD}'; {LATER}")
        if len(results) == 2:
            return self._script(name, asked, f"cat not-here.txt || {{ {LATER}; false; }}")
        found = WORD.search(results[0])
        return Script(reasoning="Now I know it.", fresh=300, output=20, thought=5, cached=40,
                      text=f"The word is {found.group() if found else 'unknown'}, I am told.")

    @staticmethod
    def _script(name, asked, *commands):
        calls = [(name, _arguments(asked.tools[name] or {}, SHELLS[name], command))
                 for command in commands]
        return Turn(reasoning="I need a shell — “now”.", text="I look.", calls=calls, step=4,
                    fresh=200, cached=20, output=30, thought=4, turn=len(asked.said("call")))

    def wrong(self, output):
        """What did not happen as it should; an empty text when all did."""
        out = []
        heard = self.heard + [""] * 3
        if f"The word is {self.word}" not in output:
            out.append("the sentence with the word was not shown")
        if not (self.folder / "made.txt").is_file():
            out.append("the first command was not run")
        if self.word not in heard[0]:
            out.append(f"the first result is {heard[0][:200]!r}")
        if "".join(ODD.split()) not in heard[1].replace('\\"', '"').replace("\\\\", "\\"):
            out.append(f"the second result is {heard[1][:200]!r}")
        if "Nosuchfile" not in heard[2]:
            out.append(f"the third result is {heard[2][:200]!r}")
        if len(self.heard) > 3:
            out.append(f"{len(self.heard)} results")
        return "; ".join(out)


def _arguments(schema, key, command):
    """The command, in the form that a tool's schema wants, with what else it requires."""
    properties = schema.get("properties", {})
    value = {name: EMPTY.get(_kind(properties.get(name, {})), "")
             for name in schema.get("required", [])}
    value[key] = command
    if _kind(properties.get(key, {})) == "array":
        value[key] = [command] if key == "commands" else ["bash", "-c", command]
    if "description" in value:
        value["description"] = "Runs a command"
    return json.dumps(value, ensure_ascii=False)


def _kind(schema):
    kind = schema.get("type", "string")
    return kind[0] if isinstance(kind, list) else kind
