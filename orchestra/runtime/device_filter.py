"""Which device nodes a container may open: the six of /dev and terminals. A second line behind the user namespace,
in which nobody can make a device node that works.

On v1 as lines for devices.allow, on v2 as a BPF program (BPF_PROG_TYPE_CGROUP_DEVICE, linux/bpf.h).
"""

from __future__ import annotations

import ctypes
import os
import struct

from . import syscalls

ALLOWED = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, None))
"""null, zero, full, random, urandom, tty, ptmx, pts/*: major and minor, None for any (devices.txt)."""

RULES = tuple(f"c {major}:{'*' if minor is None else minor} rwm" for major, minor in ALLOWED)

_LOAD, _ATTACH = 5, 8
_CGROUP_DEVICE_PROGRAM, _CGROUP_DEVICE_ATTACH = 15, 6


def program() -> bytes:
    """r1 points to struct bpf_cgroup_dev_ctx {access_type, major, minor}; r0 = 1 allows."""
    code = [
        _op(0x61, dst=2, src=1, off=0),  # r2 = access_type
        _op(0x57, dst=2, imm=0xFFFF),  # its low half is the type: 2 is a character device
        _op(0x61, dst=4, src=1, off=4),  # r4 = major
        _op(0x61, dst=5, src=1, off=8),  # r5 = minor
        _op(0x15, dst=2, imm=2, off=2),
        *_leave(0),
    ]
    for major, minor in ALLOWED:
        code.append(_op(0x55, dst=4, imm=major, off=2 if minor is None else 3))
        if minor is not None:
            code.append(_op(0x55, dst=5, imm=minor, off=2))
        code += _leave(1)
    return b"".join([*code, *_leave(0)])


def _leave(value: int) -> list[bytes]:
    return [_op(0xB7, dst=0, imm=value), _op(0x95)]


def _op(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("=BBhi", code, src << 4 | dst, off, imm)


def attach(directory: str) -> None:
    text = program()
    instructions = ctypes.create_string_buffer(text, len(text))
    license_ = ctypes.create_string_buffer(b"Apache-2.0")
    load = struct.pack(
        "=IIQQ", _CGROUP_DEVICE_PROGRAM, len(text) // 8, ctypes.addressof(instructions), ctypes.addressof(license_)
    )
    filter_ = syscalls.bpf(_LOAD, load.ljust(72, b"\0"))
    try:
        cgroup = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            syscalls.bpf(
                _ATTACH, struct.pack("=IIII", cgroup, filter_, _CGROUP_DEVICE_ATTACH, 2)
            )  # BPF_F_ALLOW_MULTI
        finally:
            os.close(cgroup)
    finally:
        os.close(filter_)
