#!/usr/bin/env bash
# What `make check` runs after the unit tests: the rules of the house, the policies' ABI, HTTP cases, end to end.
# Each part prints its runner's own closing line. Parts whose tools are missing skip with a message.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd -P)
build=${POINTSMAN_BUILD:-$root/build}
export POINTSMAN_BUILD=$build
export POINTSMAN=${POINTSMAN:-$build/pointsman}
export POINTSMAN_PLUGINS=${POINTSMAN_PLUGINS:-$build/plugins}
export PYTHONDONTWRITEBYTECODE=1

if [ -z "${LLAMA_SERVER:-}" ]; then
    LLAMA_SERVER=$("$root/tools/llama-server.sh" "$build/llama")
    export LLAMA_SERVER
fi
if [ -z "${NODE:-}" ]; then
    NODE=$("$root/tools/node.sh" "$build/node")
    export NODE
fi
export PATH=$PATH:${NODE%/*}

python=
for candidate in /usr/bin/python3 python3; do
    if "$candidate" -c 'import pytest' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || {
    echo "tests/check.sh: no python3 with pytest: run tools/deps.sh --test" >&2
    exit 1
}

"$root/tools/lint.sh" "$root"
[ ! -x "$build/tests/fuzz/replay_json" ] || "$root/tests/fuzz/replay.sh" "$build"
cd "$root"

# These take minutes of waiting for servers and engines: `make check-manager` runs them, and `make check ALL=yes`.
slow="test_devices.py test_docker.py test_faults_slow.py test_hang.py test_kv.py test_memory.py test_priority.py"
slow="$slow test_review.py test_review_more.py test_usage_slow.py test_top_slow.py test_page.py test_page_slow.py"
slow="$slow test_bench.py test_bench_code_slow.py"
# and this one has a part that does.
[ -z "${1:-}" ] || export POINTSMAN_SLOW=yes
parts=()
for part in tests/lint tests/abi tests/http; do
    [ "${1:-}" = --slow ] || parts+=("$part")
done
for file in tests/e2e/test_*.py; do
    is_slow=no
    [[ " $slow " != *" ${file##*/} "* ]] || is_slow=yes
    case ${1:-}:$is_slow in
        --slow:yes | --all:* | :no) parts+=("$file") ;;
        --slow:no) [[ $file != */test_learned.py ]] || parts+=("$file") ;;
    esac
done
exec "$python" -B -m pytest -q -p no:cacheprovider --durations=5 "${parts[@]}"
