#!/usr/bin/env bash
# Runs every fuzz target over its corpus: tests/fuzz/replay.sh BUILD
#
# Needs no fuzzer: the replay programs of `make check`. Ends with `fuzz: N passed, N failed`, a target each.
set -euo pipefail

if [ $# -ne 1 ]; then
    echo "usage: $0 BUILD" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd -P)
passed=0
failed=0
for source in "$here"/fuzz_*.c; do
    target=${source##*/fuzz_}
    target=${target%.c}
    # Two targets read what another one has a corpus for.
    case $target in
        request) corpus=json ;;
        mend) corpus=sse ;;
        *) corpus=$target ;;
    esac
    if ! line=$(timeout 120 "$1/tests/fuzz/replay_$target" "$here/corpus/$corpus"); then
        echo "replay_$target: failed" >&2
        failed=$((failed + 1))
        continue
    fi
    echo "replay_$target: $line"
    passed=$((passed + 1))
done
echo "fuzz: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
