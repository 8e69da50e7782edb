#!/usr/bin/env bash
# Real coding agents, headless, with the gateway as their only model provider.
#
#   tests/e2e/agents/run.sh [claude codex qwen pi opencode cline ...]
#
# Installs the pinned agents into build/agents (about 2 GB, once), starts a gateway on a port of
# its own, and runs each agent with a fresh home folder, one at a time. With the demo models it
# passes when it ends by itself with the model's text on its standard output. With a stand-in
# cloud of each protocol it has to run commands in its own shell over several turns, and to say
# what came of it. An agent that speaks several protocols is there once for each: pi,
# pi-responses, pi-messages. One line of result for each agent and upstream. Not part of make
# check, for the agents are large and other people's.
#
#   UPSTREAMS="local chat responses messages" run.sh ...   some of what there is to ask
#   KEEP=FOLDER run.sh ...    keeps what a cloud was asked in a run that failed
#   LIMIT=180 run.sh ...      the seconds that an agent may take
#   BASE_URL=http://127.0.0.1:8484 MODEL=auto run.sh ...   asks a gateway that runs already
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd -P)
root=$(cd "$here/../../.." && pwd -P)
build=${POINTSMAN_BUILD:-$root/build}
node=$("$root/tools/node.sh" "$build/node")
export PATH="${node%/*}:$PATH"

agents=$build/agents
mkdir -p "$agents"
if ! cmp -s "$here/package.json" "$agents/installed.json"; then
    cp "$here/package.json" "$agents/package.json"
    (cd "$agents" && npm install --no-audit --no-fund --no-package-lock --loglevel=error) >&2
    cp "$here/package.json" "$agents/installed.json"
fi
if [ -z "${BASE_URL:-}" ] && [ -z "${LLAMA_SERVER:-}" ]; then
    LLAMA_SERVER=$("$root/tools/llama-server.sh" "$build/llama")
    export LLAMA_SERVER
fi
export POINTSMAN_BUILD="$build"
exec /usr/bin/env python3 -B "$here/agents.py" "$agents/node_modules/.bin" "$@"
