#!/usr/bin/env bash
# Real coding agents, headless, with the gateway as their only model provider.
#
#   tests/e2e/agents/run.sh [claude qwen pi codex]
#
# Installs the pinned agents into build/agents (about 1 GB, once), starts a gateway with the demo
# profiles on a port of its own, and runs each agent with a fresh home folder: it passes when it
# ends by itself with the demo model's text on its standard output. One line of result each. Not
# part of make check, for the agents are large and other people's.
#
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
