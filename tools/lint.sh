#!/usr/bin/env bash
# The rules of the house, for people and for CI: tools/lint.sh [DIR]. With --tidy also clang-tidy, which takes minutes.
set -euo pipefail
tidy=no
if [ "${1:-}" = --tidy ]; then
    tidy=yes
    shift
fi
cd "${1:-$(dirname "$0")/..}"
python=python3
[ ! -x /usr/bin/python3 ] || python=/usr/bin/python3
"$python" -B tools/house.py .
for script in tools/*.sh tests/*.sh tests/e2e/agents/*.sh autogen.sh .ci/run; do
    [ ! -e "$script" ] || bash -n "$script"
done
if [ "$tidy" = yes ]; then
    build=${POINTSMAN_BUILD:-build}
    # shellcheck disable=SC2046
    clang-tidy --quiet $(find core plugins -name '*.c') -- -std=gnu11 -D_GNU_SOURCE -I. -Iplugins \
        -DPACKAGE_VERSION='"0"' -DSYSCONF_DIR='""' -DPLUGIN_DIR='""' -DDATA_DIR='""' -I"$build"
fi
echo "house: nothing wrong"
