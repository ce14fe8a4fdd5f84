#!/bin/sh
# Builds init for both architectures beside its source, or into the folder given; with Debian 12's gcc 12.2 the
# result is the same bytes everywhere, which a test checks.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
for target in x86_64 aarch64; do
    compiler=$target-linux-gnu-gcc
    command -v "$compiler" >/dev/null || { echo "no $compiler: init.$target is left as it is" >&2; continue; }
    "$compiler" -Os -static -nostdlib -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables -fno-pic \
        -fno-ident -Wall -Wextra -Werror -Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-z,norelro -Wl,-z,noexecstack \
        -Wl,-n -s -o "$out/init.$target" "$here/init.c"
    chmod 644 "$out/init.$target"
done
