#!/usr/bin/env bash
# Runs the unit tests and counts them: tests/units.sh PROGRAM...
#
# Each program is one of cmocka's; it is asked for TAP, whose plan tells how many tests there should have been, so that
# a program that dies half way is not taken for one with fewer tests. Ends with `units: N passed, N failed`.
set -uo pipefail

passed=0
failed=0
for program in "$@"; do
    output=$(CMOCKA_MESSAGE_OUTPUT=TAP timeout 120 "$program" 2>&1)
    status=$?
    good=$(grep -c '^ok ' <<<"$output")
    bad=$(grep -c '^not ok ' <<<"$output")
    planned=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' <<<"$output" | awk '{ n += $1 } END { print n + 0 }')
    [ $((good + bad)) -ge "$planned" ] || bad=$((planned - good))
    if [ "$status" -ne 0 ] || [ "$good" -eq 0 ]; then
        [ "$bad" -gt 0 ] || bad=1
        printf '%s\n' "$output"
        printf '%s: exit %d, %d of %d passed\n' "$program" "$status" "$good" "$planned"
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
done
echo "units: $passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
