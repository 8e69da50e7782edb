#!/bin/sh
# Makes ./configure from configure.ac and Makefile.am.
set -e
cd "$(dirname "$0")"
autoreconf -fi
# autoconf's clean-up removes `core`, a crash dump to its mind: here it is a folder, on which
# it would fail and leave its other files behind.
sed -i.old 's|rm -f core |rm -f |' configure
rm -f configure.old
