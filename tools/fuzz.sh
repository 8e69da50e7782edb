#!/usr/bin/env bash
# Fuzzes what reads bytes of others, with clang's libFuzzer and its sanitizers.
#
#   tools/fuzz.sh SECONDS [TARGET...]     SECONDS for each target; all targets without a name
#
# Builds in build-fuzz (FUZZ_BUILD names another folder). What a run learns is kept there and used by the next one; an
# input that breaks a target lies in build-fuzz/crashes: mend, then put it into tests/fuzz/corpus, where `make check`
# replays it.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd -P)
build=${FUZZ_BUILD:-$root/build-fuzz}

usage() {
    echo "usage: $0 SECONDS [TARGET...]" >&2
    exit 2
}

prepare() {
    command -v "${CC:-clang}" >/dev/null || {
        echo "tools/fuzz.sh: ${CC:-clang} is missing: install clang" >&2
        exit 1
    }
    [ -x "$root/configure" ] || make -C "$root" configure
    mkdir -p "$build"
    if [ ! -e "$build/Makefile" ]; then
        (cd "$build" && "$root/configure" --quiet CC="${CC:-clang}" CFLAGS="-O1 -g" --enable-fuzz --enable-sanitizers)
    fi
    make --no-print-directory -C "$build" "${targets[@]/#/tests/fuzz/fuzz_}"
}

# Prints one line of the result. A target that breaks does not keep the others from their turn.
fuzz() {
    local target=$1 corpus=$1 log=$build/fuzz_$1.log runs
    # Two targets read what another one has a corpus for.
    case $target in
        request) corpus=json ;;
        mend) corpus=sse ;;
    esac
    mkdir -p "$build/learned/$target" "$build/crashes"
    if timeout $((seconds + 120)) "$build/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 -artifact_prefix="$build/crashes/$target-" \
        "$build/learned/$target" "$root/tests/fuzz/corpus/$corpus" >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        echo "fuzz_$target: $runs runs, nothing broken"
        return 0
    fi
    grep -E 'broken:|ERROR:|SUMMARY:|Test unit written' "$log" || tail -n 20 "$log"
    echo "fuzz_$target: broken, see $log"
    return 1
}

main() {
    local source target failed=0
    [[ ${1:-} =~ ^[1-9][0-9]*$ ]] || usage
    seconds=$1
    shift
    targets=("$@")
    if [ ${#targets[@]} -eq 0 ]; then
        for source in "$root"/tests/fuzz/fuzz_*.c; do
            target=${source##*/fuzz_}
            targets+=("${target%.c}")
        done
    fi
    for target in "${targets[@]}"; do
        [ -e "$root/tests/fuzz/fuzz_$target.c" ] || usage
    done
    prepare
    for target in "${targets[@]}"; do fuzz "$target" || failed=1; done
    return $failed
}

main "$@"
