#!/usr/bin/env bash
# What `make run` does when all is built: the gateway with this tree's models.conf and routes.d,
# and a real llama-server.
#
#   tools/run.sh BUILD
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd -P)
build=$(cd "${1:-$root/build}" && pwd -P)
export LLAMA_SERVER=${LLAMA_SERVER:-}
LLAMA_SERVER=$("$root/tools/llama-server.sh" "$build/llama")

state=()
# A socket's path has 107 bytes: a deep folder's state goes to the usual place.
[ ${#build} -gt 54 ] || state=(--state "$build/state")

exec "$build/pointsman" serve --models "$root/models.conf" --routes "$root/routes.d" --plugins "$build/plugins" \
    "${state[@]}" > >(
        while IFS= read -r line; do
            printf '%s\n' "$line"
            case $line in
            *"listening on "*)
                url=${line##*listening on }
                cat <<TEXT

  Try it:
    curl $url/v1/chat/completions -d '{"model":"auto","messages":[{"role":"user","content":"debug this function"}]}'
    $build/pointsman route ${state[*]} "plan a holiday"
    $build/pointsman status ${state[*]}
    $build/pointsman top ${state[*]}       (or open $url in a browser)
  Then edit models.conf (your GGUF files, your cloud models) and routes.d/20-auto.conf: changes are taken up at once.
  Ctrl-C stops it.

TEXT
                ;;
            esac
        done
    )
