#!/usr/bin/env bash
# Prints the path of a usable llama-server: the caller's own, or one unpacked into a private folder.
#
#   tools/llama-server.sh DIR
#
# Looked for in this order: $LLAMA_SERVER; llama-server on PATH; DIR/llama-server of an earlier run;
# else Debian's package from its testing suite, unpacked below DIR. Nothing is installed and no
# system file is touched, so root is not needed. Only the path goes to stdout, all else to stderr.
#
# Debian 12 cannot run that package directly (its C library is older), so the package comes with all
# that it depends on, and DIR/llama-server starts it through the loader of its own C library. It
# does so by exec: the pid that a caller gets is the server's.
#
# DEBIAN_MIRROR=URL overrides the mirror that is otherwise read from the machine's apt sources.
set -euo pipefail

readonly SUITE=forky
readonly PACKAGE=llama.cpp-tools
# Those of the package's programs that get a wrapper beside llama-server, if the package has them.
readonly TOOLS="llama-server llama-bench llama-fit-params llama-quantize"
readonly SYSTEM_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
readonly TEMPLATE=/usr/share/python-apt/templates/Debian.info

say() { printf 'pointsman: %s\n' "$*" >&2; }

die() {
    say "$*"
    say "or install llama.cpp yourself, and put llama-server on PATH or its path into LLAMA_SERVER"
    exit 1
}

# Answers from what is already there. Needs no network, no lock and no apt.
find_present() {
    if [ -n "${LLAMA_SERVER:-}" ]; then
        if [ ! -x "$LLAMA_SERVER" ] || [ -d "$LLAMA_SERVER" ]; then
            say "LLAMA_SERVER=$LLAMA_SERVER is not an executable file: correct it, or unset it"
            exit 1
        fi
        printf '%s\n' "$LLAMA_SERVER"
    elif command -v llama-server >/dev/null; then
        command -v llama-server
    else
        find_unpacked
    fi
}

# The wrapper is written last, so where it is, the rest is complete.
find_unpacked() {
    [ -x "$dir/llama-server" ] && [ -x "$dir/root/usr/bin/llama-server" ] || return 1
    printf '%s\n' "$dir/llama-server"
}

# apt's settings for the private folder $work/apt. The machine's Acquire settings (proxies,
# certificates) are kept; its hooks are not, since they act on the system.
write_apt_config() {
    local arch
    arch=$(dpkg --print-architecture)
    mkdir -p "$work"/apt/lists/partial "$work"/apt/cache/archives/partial "$work/apt/keys"
    : >"$work/apt/status"
    {
        apt-config dump | grep '^Acquire::' |
            grep -vE '^Acquire::(IndexTargets|Languages|Changelogs)' || true
        printf '%s "%s";\n' \
            Acquire::Languages none \
            APT::Architecture "$arch" \
            Dir::Etc::Parts /dev/null \
            Dir::Etc::Main /dev/null \
            Dir::Etc::SourceList "$work/apt/suite.sources" \
            Dir::Etc::SourceParts /dev/null \
            Dir::Etc::Trusted /dev/null \
            Dir::Etc::TrustedParts "$work/apt/keys" \
            Dir::Etc::Preferences /dev/null \
            Dir::Etc::PreferencesParts /dev/null \
            Dir::State::Lists "$work/apt/lists" \
            Dir::State::Status "$work/apt/status" \
            Dir::State::Extended_States "$work/apt/extended_states" \
            Dir::Cache "$work/apt/cache"
        # Packages of this architecture only, whatever else the machine is set up for.
        printf 'APT::Architectures { "%s"; };\n' "$arch"
        # As root apt would drop to a user who may not enter the caller's folders.
        printf 'APT::Sandbox::User "root";\n'
    } >"$work/apt/apt.conf"
}

private_apt() { APT_CONFIG="$work/apt/apt.conf" apt-get -q "$@"; }

# The URIs of the machine's own sources that serve its release, from both of apt's formats. Security
# and third-party archives mostly drop out by their suite; the rest fails the signature check.
machine_mirrors() {
    local codename files=()
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; do
        [ ! -r "$f" ] || files+=("$f")
    done
    [ ${#files[@]} -gt 0 ] || return 0
    awk -v codename="$codename" '
        function emit(uris, suites,   u, s, n, m, i, j) {
            n = split(uris, u, " "); m = split(suites, s, " ")
            for (i = 1; i <= n; i++) for (j = 1; j <= m; j++)
                if (s[j] == codename || s[j] ~ /^(oldstable|stable|testing|unstable|sid)$/)
                    if (u[i] !~ /^cdrom:/ && !seen[u[i]]++) print u[i]
        }
        function stanza() {
            if ((" " v["types"] " ") ~ / deb / && v["enabled"] !~ /^ *(no|false|off|0)/)
                emit(v["uris"], v["suites"])
            split("", v); key = ""
        }
        FNR == 1 { stanza(); deb822 = FILENAME ~ /\.sources$/ }
        /^[ \t]*#/ { next }
        deb822 && /^[ \t]*$/ { stanza(); next }
        deb822 && /^[ \t]/ { v[key] = v[key] " " $0; next }
        deb822 { key = tolower($0); sub(/[ \t]*:.*/, "", key)
                 val = $0; sub(/^[^:]*:/, "", val); gsub(/\t/, " ", val); v[key] = val; next }
        $1 == "deb" { line = $0; sub(/^[ \t]*deb[ \t]+(\[[^]]*\][ \t]+)?/, "", line)
                      split(line, f, /[ \t]+/); emit(f[1], f[2]) }
        END { stanza() }' "${files[@]}"
}

# Unpacks one package of the machine's own distribution below $work/own.
fetch_own() {
    local name=$1 own="$work/own"
    mkdir -p "$own"/lists/partial "$own"/cache/archives/partial "$own/deb"
    local opts=(-q -o "Dir::Cache=$own/cache" -o APT::Sandbox::User=root)
    if ! (cd "$own/deb" && apt-get "${opts[@]}" download "$name") >>"$log" 2>&1; then
        # The machine's package lists are missing or stale: fetch some of our own.
        opts+=(-o "Dir::State::Lists=$own/lists" -o APT::Update::Post-Invoke-Success=)
        apt-get "${opts[@]}" -o "DPkg::Post-Invoke=" update >>"$log" 2>&1 || return 1
        (cd "$own/deb" && apt-get "${opts[@]}" download "$name") >>"$log" 2>&1 || return 1
    fi
    dpkg -x "$own"/deb/"$name"_*.deb "$own/root"
}

# Mirrors to try, best first. A machine of another distribution names no Debian mirror in its apt
# sources; its python-apt knows the default one.
mirrors() {
    if [ -n "${DEBIAN_MIRROR:-}" ]; then
        printf '%s\n' "$DEBIAN_MIRROR"
        return
    fi
    local template=$TEMPLATE
    # shellcheck source=/dev/null
    if (. /etc/os-release && [ "${ID:-}" = debian ]); then
        machine_mirrors
        [ -r "$template" ] || return 0
    elif [ ! -r "$template" ]; then
        fetch_own python-apt-common || return 0
        template=$work/own/root$TEMPLATE
    fi
    # Plain http as well: without the CA certificates https fails, and packages are signed anyway.
    sed -n '/^BaseURI:/{s/^BaseURI:[[:space:]]*//p;s/^https:/http:/p;q}' "$template" | sort -u
}

# One attempt at the suite's package lists. Signatures are always checked.
update_from() {
    local uri=$1 keyring=$2
    shift 2
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" "$SUITE" \
        >"$work/apt/suite.sources"
    # The only keys that this apt trusts. (Signed-By would not take a path with a blank in it.)
    cp "$keyring" "$work/apt/keys/debian.gpg"
    printf '\n== %s, keys of %s\n' "$uri" "$keyring" >>"$log"
    # Error-Mode: an unreachable mirror is otherwise only a warning.
    private_apt "$@" -o APT::Update::Error-Mode=any update >>"$log" 2>&1
}

# Tries every mirror: first with the keys that are installed, then with those of the distribution's
# newest key package (a testing suite may be signed with keys younger than this machine), and last
# accepting lists past their "valid until" date, which is what a frozen mirror has.
update_lists() {
    local uri uris keyring fresh=$work/own/root$SYSTEM_KEYRING
    uris=$(mirrors)
    [ -n "$uris" ] ||
        die "found no Debian mirror in the apt sources: set DEBIAN_MIRROR to the URL of one,"
    if [ -r "$SYSTEM_KEYRING" ]; then
        for uri in $uris; do ! update_from "$uri" "$SYSTEM_KEYRING" || return 0; done
    fi
    keyring=$SYSTEM_KEYRING
    if fetch_own debian-archive-keyring && [ -r "$fresh" ]; then
        keyring=$fresh
        for uri in $uris; do ! update_from "$uri" "$keyring" || return 0; done
    elif [ ! -r "$keyring" ]; then
        tail -n 25 "$log" >&2
        die "could not get Debian's signing keys: install debian-archive-keyring,"
    fi
    for uri in $uris; do
        if update_from "$uri" "$keyring" -o Acquire::Check-Valid-Until=false; then
            say "warning: the package lists of this mirror are past their date (signature is good)"
            return 0
        fi
    done
    tail -n 25 "$log" >&2
    die "could not read Debian's suite $SUITE (apt's words are above): check the network,"
}

# A shell script that starts one program of $dir/root. The loader is started under the program's
# name, so that ps shows it, and from the folder of ggml's backends: ggml looks for them beside the
# running executable, and takes the one that fits the CPU best.
write_wrapper() {
    local tool=$1 target=$2 triplet backends
    triplet=$(cd "$stage/usr/lib" && printf '%s\n' */ld-linux*.so.*)
    triplet=${triplet%%/*}
    backends=$(cd "$stage" && find usr/lib -name 'libggml-cpu*.so' -printf '%h\n' | sort -u)
    if [ -z "$backends" ] || [ ! -d "$stage/$backends" ]; then
        die "cannot tell where the package keeps its CPU backends (libggml-cpu*.so):"
    fi
    [ -e "$stage/$backends/$tool" ] ||
        cp "$stage"/usr/lib/"$triplet"/ld-linux*.so.* "$stage/$backends/$tool"
    cat >"$target" <<WRAPPER
#!/bin/sh
# Written by tools/llama-server.sh: $tool of $PACKAGE on its own C library.
self=\$0
[ ! -L "\$self" ] || self=\$(readlink -f "\$self")
root=\${self%/*}/root
lib=\$root/usr/lib/$triplet
exec "\$root/$backends/$tool" --argv0 "\$self" \\
    --library-path "\$lib:\$lib/llama" "\$root/usr/bin/$tool" "\$@"
WRAPPER
    chmod 755 "$target"
}

fetch() {
    local deb tool
    if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
        die "no llama-server found, and without apt none can be fetched:"
    fi
    rm -rf "$work"
    mkdir -p "$work"
    log=$work/log
    : >"$log"
    write_apt_config
    say "fetching llama-server from Debian $SUITE into $dir (about 30 MB, once)"
    update_lists
    if ! private_apt -y --no-install-recommends --download-only install "$PACKAGE" \
        >>"$log" 2>&1; then
        tail -n 25 "$log" >&2
        die "could not download $PACKAGE (apt's words are above): check the network,"
    fi
    stage=$work/root
    mkdir "$stage"
    for deb in "$work"/apt/cache/archives/*.deb; do dpkg -x "$deb" "$stage"; done
    for tool in $TOOLS; do
        [ ! -x "$stage/usr/bin/$tool" ] || write_wrapper "$tool" "$work/$tool"
    done
    # Before it counts as there, it must run here: another CPU or an old kernel may refuse it.
    if ! "$work/llama-server" --version >>"$log" 2>&1; then
        tail -n 10 "$log" >&2
        die "the fetched llama-server does not start on this machine (see above):"
    fi
    rm -f "$dir/llama-server"
    rm -rf "$dir/root"
    mv "$stage" "$dir/root"
    for tool in $TOOLS; do
        [ "$tool" = llama-server ] || [ ! -e "$work/$tool" ] || mv "$work/$tool" "$dir/$tool"
    done
    mv "$work/llama-server" "$dir/llama-server"
    rm -rf "$work"
}

main() {
    if [ $# -ne 1 ] || [ -z "$1" ]; then
        echo "usage: $0 DIR" >&2
        exit 2
    fi
    case $1 in /*) dir=$1 ;; *) dir=$PWD/$1 ;; esac
    if find_present; then exit 0; fi
    [ "$(uname -s)" = Linux ] || die "no llama-server found:"
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd -P)
    work=$dir/.fetch
    # One fetch at a time; who waited finds the work done.
    exec 9>"$dir/.lock"
    flock 9
    if find_unpacked; then exit 0; fi
    # Closed for the fetch's children, so that none of them can hold the lock after this script.
    fetch 9>&-
    find_unpacked
}

main "$@"
