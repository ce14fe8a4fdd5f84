"""The edge of the kernel: one small function per system call, raising OSError with the path that it was about.

Only what Python 3.11 has no function for. Numbers for x86_64 and aarch64 (asm/unistd_64.h, asm-generic/unistd.h);
from 424 on every architecture counts alike. Everything passes through `syscall(2)` of the C library that Python
itself is linked with, which glibc and musl both have.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct

X86_64 = os.uname().machine in ("x86_64", "amd64")

MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8
MOUNT_ATTR_IDMAP = 0x100000

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWTIME = 0x10000000, 0x20000000, 0x40000000, 0x80

CLONE_VM = 0x100

AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH = 4, 0x40
FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE = 0, 1, 6
TRIES = 1000
"""Of openat2; each takes some microseconds."""
RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT = 2, 4, 8, 0x10

PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER = 4, 8, 24, 36
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 38, 47
PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_CLEAR_ALL = 2, 4
TIOCGPTPEER = 0x5441

(
    _BPF,
    _CAPSET,
    _EXECVEAT,
    _KEYCTL,
    _MOUNT,
    _PIVOT_ROOT,
    _PRCTL,
    _SECCOMP,
    _SETNS,
    _UMOUNT2,
    _UNSHARE,
) = (
    (321, 126, 322, 250, 165, 155, 157, 317, 308, 166, 272)
    if X86_64
    else (280, 91, 281, 219, 40, 41, 167, 277, 268, 39, 97)
)
_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 428, 429, 430, 431, 432
_CLOSE_RANGE, _OPENAT2, _MOUNT_SETATTR = 436, 437, 442

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
# Each argument goes as wide as a pointer, be it one or a number: ctypes would cut a bare int to 32 bits.
_libc.syscall.argtypes = (ctypes.c_long, *[ctypes.c_void_p] * 6)
_UNUSED = (0,) * 6
_SLEEPERS_STACK = 16 * 1024
_stacks: dict[int, ctypes.Array[ctypes.c_char]] = {}
"""What sleepers stand on: freed with the process that made them, which is short-lived."""


def _call(number: int, *args: int | bytes | None, about: str = "") -> int:
    result: int = _libc.syscall(number, *args, *_UNUSED[len(args) :])
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), about)
    return result


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    given = (os.fsencode(source), os.fsencode(target), kind.encode(), flags, os.fsencode(options))
    _call(_MOUNT, *given, about=target)


def umount2(target: str, flags: int) -> None:
    _call(_UMOUNT2, os.fsencode(target), flags, about=target)


def pivot_root(new: str, old: str) -> None:
    _call(_PIVOT_ROOT, os.fsencode(new), os.fsencode(old), about=new)


def unshare(flags: int) -> None:
    _call(_UNSHARE, flags, about=f"namespaces {flags:#x}")


def setns(fd: int, kinds: int, about: str = "") -> None:
    """`fd` is a namespace, or a pidfd: then `kinds` may name several (Linux 5.8)."""
    _call(_SETNS, fd, kinds, about=about or f"namespaces {kinds:#x}")


def sleeper(kinds: int, seconds: int) -> int:
    """The pid of a child in new namespaces that does nothing but sleep(3), on a stack of its own in our memory, until
    it is killed or the time is over (which also ends one whose parent was killed)."""
    stack = ctypes.create_string_buffer(_SLEEPERS_STACK)
    top = (ctypes.addressof(stack) + _SLEEPERS_STACK) & ~15  # stacks grow downwards, 16 bytes at a time
    _libc.clone.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
    sleep = ctypes.cast(_libc.sleep, ctypes.c_void_p)
    pid: int = _libc.clone(sleep, top, CLONE_VM | kinds | signal.SIGCHLD, seconds)
    if pid < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), f"namespaces {kinds:#x}")
    _stacks[pid] = stack
    return pid


def open_tree(directory: int, path: str, flags: int) -> int:
    empty = 0 if path else AT_EMPTY_PATH
    return _call(_OPEN_TREE, directory, os.fsencode(path), flags | OPEN_TREE_CLOEXEC | empty, about=path)


def move_mount(tree: int, target: int, about: str) -> None:
    """Attach a detached mount to the place that an O_PATH descriptor holds: no path is walked."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    _call(_MOVE_MOUNT, tree, b"", target, b"", flags, about=about)


def mount_setattr(
    tree: int,
    set_: int = 0,
    clear: int = 0,
    propagation: int = 0,
    userns: int = 0,
    deep: bool = False,
    about: str = "",
) -> None:
    attr = struct.pack("=4Q", set_, clear, propagation, userns)
    _call(_MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH | (AT_RECURSIVE if deep else 0), attr, len(attr), about=about)


def fsopen(kind: str) -> int:
    return _call(_FSOPEN, kind.encode(), 1, about=kind)


def fsconfig_flag(context: int, key: str) -> None:
    _call(_FSCONFIG, context, FSCONFIG_SET_FLAG, key.encode(), None, 0, about=key)


def fsconfig_string(context: int, key: str, value: str) -> None:
    _call(_FSCONFIG, context, FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0, about=f"{key}={value}")


def fsconfig_create(context: int, about: str) -> None:
    _call(_FSCONFIG, context, FSCONFIG_CMD_CREATE, None, None, 0, about=about)


def fsmount(context: int, attributes: int, about: str) -> int:
    return _call(_FSMOUNT, context, 1, attributes, about=about)


def openat2(directory: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
    """Tried again where somebody renamed or mounted anything meanwhile, so that the kernel cannot say whether a ".."
    has stayed inside (openat2(2), EAGAIN): other containers that start do so all the time."""
    how = struct.pack("=3Q", flags | os.O_CLOEXEC, mode, resolve)
    for _ in range(TRIES - 1):
        try:
            return _call(_OPENAT2, directory, os.fsencode(path), how, len(how), about=path)
        except BlockingIOError:
            continue
    return _call(_OPENAT2, directory, os.fsencode(path), how, len(how), about=path)


def prctl(option: int, first: int = 0, second: int = 0) -> int:
    return _call(_PRCTL, option, first, second, 0, 0, about=f"prctl {option}")


def capset(effective: int, permitted: int, inheritable: int) -> None:
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    low = 0xFFFFFFFF
    sets = struct.pack(
        "=6I",
        *(effective & low, permitted & low, inheritable & low),
        *(effective >> 32, permitted >> 32, inheritable >> 32),
    )
    _call(_CAPSET, header, sets, about="capabilities")


def seccomp_filter(program: bytes) -> None:
    """Load one BPF program (struct sock_filter[], 8 bytes each); PR_SET_NO_NEW_PRIVS or SYS_ADMIN comes first."""
    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    _call(_SECCOMP, 1, 0, fprog, about="system call filter")


def join_session_keyring() -> None:
    """A new anonymous session keyring, so that keys of whoever started orchestra stay out of reach."""
    _call(_KEYCTL, 1, None, about="session keyring")


def close_range(first: int, last: int = 0xFFFFFFFF, flags: int = 0) -> None:
    _call(_CLOSE_RANGE, first, last, flags, about="descriptors")


def execveat(fd: int, argv: list[str], env: list[str]) -> None:
    """Execute what the descriptor holds. Returns only by raising."""
    arguments = _strings(argv)
    environment = _strings(env)
    addresses = ctypes.addressof(arguments), ctypes.addressof(environment)
    _call(_EXECVEAT, fd, b"", *addresses, AT_EMPTY_PATH, about=argv[0])


def _strings(values: list[str]) -> ctypes.Array[ctypes.c_char_p]:
    return (ctypes.c_char_p * (len(values) + 1))(*[os.fsencode(v) for v in values], None)


def bpf(command: int, attributes: bytes) -> int:
    return _call(_BPF, command, attributes, len(attributes), about="bpf")
