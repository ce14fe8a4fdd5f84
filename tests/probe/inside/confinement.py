"""Capabilities, namespaces and mounts: what the container is confined by."""

import ctypes
import os
import re
import signal
import struct
import tempfile

from .attempts import (
    CRITICAL,
    FACTS,
    HIGH,
    LIBC,
    LOW,
    MEDIUM,
    NotHere,
    Refused,
    attempt,
    contents,
    each,
    reach,
    syscall,
    whole,
)

# What it is allowed to be

CAPABILITIES = (
    (2, "DAC_READ_SEARCH", HIGH), (9, "LINUX_IMMUTABLE", LOW), (11, "NET_BROADCAST", LOW),
    (12, "NET_ADMIN", HIGH), (13, "NET_RAW", HIGH), (14, "IPC_LOCK", LOW), (15, "IPC_OWNER", LOW),
    (16, "SYS_MODULE", CRITICAL), (17, "SYS_RAWIO", CRITICAL), (19, "SYS_PTRACE", HIGH), (20, "SYS_PACCT", LOW),
    (21, "SYS_ADMIN", CRITICAL), (22, "SYS_BOOT", HIGH), (23, "SYS_NICE", LOW), (24, "SYS_RESOURCE", MEDIUM),
    (25, "SYS_TIME", HIGH), (26, "SYS_TTY_CONFIG", LOW), (27, "MKNOD", MEDIUM), (28, "LEASE", LOW),
    (29, "AUDIT_WRITE", MEDIUM), (30, "AUDIT_CONTROL", HIGH), (32, "MAC_OVERRIDE", HIGH), (33, "MAC_ADMIN", HIGH),
    (34, "SYSLOG", MEDIUM), (35, "WAKE_ALARM", LOW), (36, "BLOCK_SUSPEND", LOW), (37, "AUDIT_READ", MEDIUM),
    (38, "PERFMON", HIGH), (39, "BPF", CRITICAL), (40, "CHECKPOINT_RESTORE", MEDIUM),
)  # fmt: skip


def status(key):
    line = re.search(rf"^{key}:\s*(\S+)", contents("/proc/self/status").decode(), re.M)
    if line is None:
        raise NotHere
    return line[1]


def in_bounding_set(number):
    if not int(status("CapBnd"), 16) >> number & 1:
        raise Refused("not in the bounding set")


for _number, _name, _severity in CAPABILITIES:
    each("capabilities", _severity, f"have CAP_{_name}", in_bounding_set, _number)


@attempt("capabilities", HIGH, "hand capabilities down (inheritable, ambient)")
def hand_down():
    if not int(status("CapInh"), 16) | int(status("CapAmb"), 16):
        raise Refused("none")


@attempt("capabilities", MEDIUM, "gain privileges by a set-uid program")
def gain():
    if status("NoNewPrivs") == "1":
        raise Refused("no_new_privs")


@attempt("capabilities", CRITICAL, "be root of the host")
def be_root():
    first = contents("/proc/self/uid_map").split()[:2]
    if first[0] == b"0" and first[1] != b"0":
        raise Refused(f"root is {first[1].decode()} outside")


@attempt("capabilities", CRITICAL, "run without a filter")
def without_filter():
    if status("Seccomp") == "2":
        raise Refused("filtered")


# Namespaces

KINDS = {"user": HIGH, "pid": CRITICAL, "net": HIGH, "ipc": HIGH, "mnt": CRITICAL, "uts": MEDIUM, "cgroup": MEDIUM}
NEW = {
    "user": 0x10000000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x08000000, "mnt": 0x00020000,
    "uts": 0x04000000, "cgroup": 0x02000000, "time": 0x80,
}  # fmt: skip


def shares(kind):
    theirs = FACTS.get("namespaces", {}).get(kind)
    if theirs is None:
        raise NotHere
    if os.readlink(f"/proc/self/ns/{kind}") != theirs:
        raise Refused("its own")


for _kind, _severity in {**KINDS, "time": LOW}.items():
    each("namespaces", _severity, f"share the host's {_kind} namespace", shares, _kind)
for _kind, _flag in NEW.items():
    _severity = HIGH if _kind in ("user", "mnt", "net") else MEDIUM
    each("namespaces", _severity, f"unshare: a new {_kind} namespace", syscall, "unshare", _flag)


def clone(flags):
    if (pid := syscall("clone", flags | signal.SIGCHLD, 0, 0, 0, 0)) == 0:
        os._exit(0)
    os.waitpid(pid, 0)


each("namespaces", HIGH, "clone: a new user namespace", clone, NEW["user"])
each("namespaces", HIGH, "clone: a new user namespace, high bits set", clone, NEW["user"] | 1 << 40)
each("namespaces", MEDIUM, "clone: new network and mount namespaces", clone, NEW["net"] | NEW["mnt"])


@attempt("namespaces", HIGH, "clone3: a new user namespace")
def clone3():
    arguments = (ctypes.c_uint64 * 11)(NEW["user"], 0, 0, 0, signal.SIGCHLD)
    if (pid := syscall("clone3", ctypes.addressof(arguments), ctypes.sizeof(arguments))) == 0:
        os._exit(0)
    os.waitpid(pid, 0)


@attempt("namespaces", HIGH, "a nested user namespace by its limit")
def nested_limit():
    if contents("/proc/sys/user/max_user_namespaces").strip() == b"0":
        raise Refused("none allowed")


@attempt("namespaces", HIGH, "setns into a namespace of process 1")
def enter_one():
    with open("/proc/1/ns/mnt") as file:
        syscall("setns", file.fileno(), 0)


# Mounts

for _name, _arguments in {
    "mount": (0, 0, 0, 0, 0), "umount2": (0, 0), "pivot_root": (0, 0), "open_tree": (-1, 0, 1),
    "move_mount": (-1, 0, -1, 0, 0), "fsopen": (0, 0), "fsconfig": (-1, 0, 0, 0, 0), "fsmount": (-1, 0, 0),
    "fspick": (-1, 0, 0), "mount_setattr": (-1, 0, 0, 0, 0), "open_tree_attr": (-1, 0, 0, 0, 0),
}.items():  # fmt: skip
    each("mounts", HIGH, f"call {_name}", reach, _name, *_arguments)


def mount(source, target, kind, flags=0):
    if LIBC.mount(source, target, kind, ctypes.c_ulong(flags), None):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


each("mounts", HIGH, "mount a tmpfs", mount, b"x", b"/tmp", b"tmpfs")
each("mounts", HIGH, "mount a fresh proc without masks", mount, b"x", b"/tmp", b"proc")
each("mounts", CRITICAL, "mount the control groups to write them", mount, b"x", b"/tmp", b"cgroup")
each("mounts", HIGH, "make /proc/sys writable", mount, b"x", b"/proc/sys", b"", 0x20 | 0x1000)
each("mounts", HIGH, "make /sys writable", mount, b"x", b"/sys", b"", 0x20)
each("mounts", HIGH, "overlay a folder", mount, b"x", b"/tmp", b"overlay")


@attempt("mounts", HIGH, "take a mask off")
def unmask():
    if LIBC.umount2(b"/proc/kcore", 2):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


@attempt("mounts", CRITICAL, "walk out by chroot")
def chroot():
    here = os.stat("/")
    folder = tempfile.mkdtemp()
    up = os.open("/", os.O_RDONLY)
    os.chroot(folder)
    os.fchdir(up)
    for _ in range(50):
        os.chdir("..")
    os.chroot(".")
    if os.path.samestat(os.stat("/"), here):
        raise Refused("still the same root")


@attempt("mounts", CRITICAL, "an open folder of the host")
def open_folder():
    for name in os.listdir("/proc/self/fd"):
        try:
            shown = os.readlink(f"/proc/self/fd/{name}")
            if int(name) > 2 and os.path.isdir(f"/proc/self/fd/{name}/") and not shown.startswith("/proc/"):
                return
        except OSError:
            continue
    raise Refused("none is open")


@attempt("mounts", HIGH, "mounts that spread from the host")
def spreading():
    if b" master:" not in whole("/proc/self/mountinfo") and b" shared:" not in whole("/proc/self/mountinfo"):
        raise Refused("all private")


@attempt("mounts", HIGH, "reach a file by its handle")
def by_handle():
    handle = ctypes.create_string_buffer(struct.pack("Ii8s", 8, 1, b"\2" + b"\0" * 7))
    reach("open_by_handle_at", os.open("/", os.O_RDONLY), ctypes.addressof(handle), 0)
