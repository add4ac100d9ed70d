#!/bin/sh
# Lays out what the image holds: the executable, the C library files that it is linked to (their
# paths differ by architecture, so the linker is asked), and a folder that its user may write to.
#
#     deploy/stage-image.sh dist/nt-signal /stage
set -eu
binary=$1
stage=$2
mkdir -p "$stage/root/var/lib" "$stage/state"
cp "$binary" "$stage/root/nt-signal"
ldd "$binary" | grep -o '/[^ ]*' | xargs -I FILE cp -L --parents FILE "$stage/root"
