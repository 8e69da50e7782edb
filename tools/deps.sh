#!/usr/bin/env bash
# Installs what is missing for building, and for testing, on Debian 12 and Ubuntu 24.04.
#
#   tools/deps.sh [--build] [--test] [--engine]
#
# --build (the default) is what ./configure and make need, --test that and what `make check` needs,
# --engine a container engine besides: the tests of DRIVER=docker are left out where there is none.
# Only missing packages are installed, and named; with nothing missing no package tool is started.
# Elsewhere it installs nothing: it says what is missing and fails, or finds all there.
set -euo pipefail

# One line each: a package, then others that do as well. The first of the line gets installed.
readonly BUILD_PACKAGES="
gcc
libc6-dev
make
autoconf
automake
libtool
pkgconf pkg-config
libevent-dev
libcurl4-openssl-dev libcurl4-gnutls-dev libcurl4-nss-dev
libpcre2-dev
libssl-dev
libhiredis-dev
libsqlite3-dev
libncurses-dev libncursesw5-dev
libcjson-dev
ca-certificates"
readonly TEST_PACKAGES="
libcmocka-dev
python3
python3-pytest
openssl
tmux
bubblewrap
redis-server"

# runc is named because another runtime would be taken else.
readonly ENGINE_PACKAGES="
podman
runc
iproute2"

# The same for machines without dpkg: commands, and modules of pkg-config.
readonly BUILD_COMMANDS="cc make autoconf automake pkg-config"
readonly BUILD_MODULES="libevent_core libevent_pthreads libcurl libpcre2-8 libcrypto hiredis sqlite3 ncursesw libcjson"
readonly TEST_COMMANDS="python3 openssl tmux bwrap"
readonly TEST_MODULES="cmocka"

here=$(cd "$(dirname "$0")" && pwd)

say() { printf 'pointsman: %s\n' "$*"; }

die() {
    printf 'pointsman: %s\n' "$*" >&2
    exit 1
}

installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null | sort -u)" = installed ]
}

# The first package of each line of which none is installed.
missing_packages() {
    local line package
    while read -r line; do
        for package in $line; do
            ! installed "$package" || continue 2
        done
        [ -z "$line" ] || printf '%s\n' "${line%% *}"
    done
}

wanted_packages() {
    printf '%s\n' "$BUILD_PACKAGES"
    [ "$1" != build ] || return 0
    printf '%s\n' "$TEST_PACKAGES"
    [ "$1" != engine ] || printf '%s\n' "$ENGINE_PACKAGES"
    # Neither distribution's node is new enough; tools/node.sh fetches one with pip.
    "$here/node.sh" --check >/dev/null || echo python3-pip
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

install_packages() {
    local missing
    missing=$(wanted_packages "$1" | missing_packages | tr '\n' ' ')
    missing=${missing% }
    if [ -z "$missing" ]; then
        say "all packages are there"
        return
    fi
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        die "missing: $missing (installing needs root or sudo, and this is neither)"
    fi
    say "installing: $missing"
    # Another apt may be at work, on a freshly booted machine for instance: wait for it.
    as_root apt-get -q -o DPkg::Lock::Timeout=120 update
    # shellcheck disable=SC2086  # a list of names
    as_root apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends $missing
}

check_only() {
    local commands=$BUILD_COMMANDS modules=$BUILD_MODULES missing="" name
    if [ "$1" != build ]; then
        commands="$commands $TEST_COMMANDS"
        modules="$modules $TEST_MODULES"
        python3 -c 'import pytest' 2>/dev/null || missing="$missing pytest"
        "$here/node.sh" --check >/dev/null || missing="$missing node"
    fi
    if ! command -v libtoolize >/dev/null && ! command -v glibtoolize >/dev/null; then
        missing="$missing libtool"
    fi
    for name in $commands; do
        command -v "$name" >/dev/null || missing="$missing $name"
    done
    for name in $modules; do
        pkg-config --exists "$name" 2>/dev/null || missing="$missing $name"
    done
    [ -z "$missing" ] || die "no Debian or Ubuntu here: please install, with headers:$missing"
    say "all that is needed is there"
}

main() {
    local set=build argument
    for argument in "$@"; do
        case $argument in
            --build) ;;
            --test) set="test" ;;
            --engine) set="engine" ;;
            *) echo "usage: $0 [--build] [--test] [--engine]" >&2; exit 2 ;;
        esac
    done
    if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
        install_packages "$set"
    else
        check_only "$set"
    fi
}

main "$@"
