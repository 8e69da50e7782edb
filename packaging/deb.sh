#!/usr/bin/env bash
# Debian packages of this source tree, built beside it: `make deb` calls this.
#
#   packaging/deb.sh BUILD
#
# Copies the tree into BUILD/deb, builds there, and leaves pointsman_*.deb and pointsman-dev_*.deb
# in BUILD/deb. The tree itself is only read. The version is the newest of
# packaging/debian/changelog; DEB_VERSION=1.2.3-4 gives another.
set -euo pipefail

die() {
    printf 'pointsman: %s\n' "$*" >&2
    exit 1
}

[ $# -eq 1 ] || die "usage: packaging/deb.sh BUILD"
root=$(cd "$(dirname "$0")/.." && pwd -P)
mkdir -p "$1/deb"
out=$(cd "$1/deb" && pwd -P)
command -v dpkg-buildpackage >/dev/null && command -v dh >/dev/null ||
    die "dpkg-buildpackage and dh are missing: install dpkg-dev and debhelper"

tree=$out/source
rm -rf "$tree" "$out"/pointsman*.deb "$out"/pointsman*.changes "$out"/pointsman*.buildinfo
mkdir "$tree"
# What was generated or built is left behind: the packages are made of sources. A build folder with
# another name than usual is known by its being this one.
built=$(dirname "$out")
own=()
[[ $built != "$root"/* ]] || own=(--exclude="./${built#"$root"/}")
tar -C "$root" -c --exclude-vcs "${own[@]}" --exclude=./build --exclude='./build-*' \
    --exclude=./autom4te.cache --exclude=./configure --exclude='./configure~' \
    --exclude=./aclocal.m4 --exclude=./Makefile.in --exclude=__pycache__ --exclude=.pytest_cache \
    --exclude=node_modules --exclude='*.o' --exclude='*.so' . | tar -C "$tree" -x
cp -r "$root/packaging/debian" "$tree/debian"
chmod +x "$tree/debian/rules"
if [ -n "${DEB_VERSION:-}" ]; then
    log=$root/packaging/debian/changelog
    {
        printf 'pointsman (%s) unstable; urgency=medium\n\n' "$DEB_VERSION"
        printf '  * Built under this number.\n\n'
        printf '%s  %s\n\n' "$(sed -n '/^ -- /{s/>.*/>/p;q}' "$log")" "$(date -R)"
        cat "$log"
    } >"$tree/debian/changelog"
fi

cd "$tree"
if ! missing=$(dpkg-checkbuilddeps debian/control 2>&1); then
    die "packages to build with are missing. $missing"
fi
export DEB_BUILD_OPTIONS=${DEB_BUILD_OPTIONS:-parallel=$(nproc)}
dpkg-buildpackage --build=binary --unsigned-changes --unsigned-buildinfo >"$out/log" 2>&1 || {
    tail -n 40 "$out/log" >&2
    die "the packages were not built: $out/log tells why"
}
cd "$out"
rm -rf "$tree"
for file in pointsman_*.deb pointsman-dev_*.deb; do
    printf 'pointsman: %s\n' "$out/$file"
done
