"""What every container gets unless its service says otherwise: stricter than docker's, and it still runs what runs
there. Plain values; `plan/launch` puts them into the spec, the runtime carries out whatever stands there.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestra.wire.spec import Mount, Rlimit


CAPABILITIES: tuple[str, ...] = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
"""All relative to the container's user namespace. Docker adds MKNOD, NET_RAW and AUDIT_WRITE: the first is dead in a
user namespace, ping works without the second (ping_group_range)."""

ALL_CAPABILITIES: tuple[str, ...] = tuple(
    f"CAP_{name}"
    for name in (
        *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
        *("LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"),
        *("SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"),
        *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"),
        *("MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF"),
        "CHECKPOINT_RESTORE",
    )
)
"""In the order of linux/capability.h: the place is the number. `privileged: true` and `cap_add: ALL`."""

MASKED_PATHS: tuple[str, ...] = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/cmdline",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/system/cpu/cpu*/thermal_throttle",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
    "/sys/kernel/vmcoreinfo",
)
"""Docker's and podman's together, and two that tell about the machine only: the kernel's parameters and
addresses. An asterisk at the end of a part stands for every name that begins so."""

READONLY_PATHS: tuple[str, ...] = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

MOUNTS: tuple[Mount, ...] = (
    {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "nodev", "noexec"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro", "nosuid", "nodev", "noexec"]},
    {
        "destination": "/dev",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "noexec", "mode=0755", "size=64k", "nr_inodes=64"],
    },
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "nodev", "noexec"]},
    {
        "destination": "/sys/fs/cgroup",
        "type": "cgroup",
        "source": "cgroup",
        "options": ["ro", "nosuid", "nodev", "noexec"],
    },
)
"""In this order, before the service's own; /dev/shm follows them, see `shm`."""


def shm(size: int = 64 << 20) -> Mount:
    """/dev/shm, `shm_size` bytes large."""
    options = ["nosuid", "nodev", "noexec", "mode=1777", f"size={size}"]
    return {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": options}


RLIMITS: tuple[Rlimit, ...] = (
    {"type": "RLIMIT_CORE", "soft": 1, "hard": -1},
    {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 524288},
)
"""A pipe in kernel.core_pattern leads to a program of the host's root whatever the limit (core(5)), but for the limit
of 1, which also is too little for a file (Linux, fs/coredump.c). A hard limit of 1 would not keep a program from 0,
and so from the pipe, but break the scripts that say `ulimit -c unlimited`. Programs with select() or that close every
possible descriptor want few of them. -1: without limit."""

SYSCTLS: dict[str, str] = {
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 65535",
}
"""They make NET_RAW and NET_BIND_SERVICE unnecessary. Not with `network_mode: host`, whose values are the host's; the
runtime refuses them there. The group range ends where the container's ids end."""

IPC_SYSCTLS: tuple[str, ...] = (
    *(f"kernel.{name}" for name in ("msgmax", "msgmnb", "msgmni", "sem", "shm_rmid_forced")),
    *(f"kernel.{name}" for name in ("shmall", "shmmax", "shmmni")),
    *(f"fs.mqueue.{name}" for name in ("msg_default", "msg_max", "msgsize_default", "msgsize_max", "queues_max")),
)
"""Parameters of an IPC namespace (ipc_namespaces(7)): with those of the network what a container may set, as docker's
(cli, opts.ValidateSysctl)."""

PIDS_LIMIT = 2048
"""podman's; docker has none, and a fork bomb takes the machine."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
