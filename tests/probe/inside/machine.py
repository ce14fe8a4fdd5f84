"""Files of /proc and /sys, control groups, devices: what tells about the machine or changes it."""

import os
import re
import subprocess

from .attempts import (
    CRITICAL,
    FACTS,
    HIGH,
    LOW,
    MEDIUM,
    NotHere,
    Refused,
    attempt,
    contents,
    each,
    hierarchies,
    make_folder,
    readable,
    whole,
    writable,
)

# What tells about the machine or changes it

for _path, _severity in {
    "/proc/kcore": CRITICAL, "/proc/keys": LOW, "/proc/timer_list": MEDIUM, "/proc/interrupts": LOW,
    "/proc/latency_stats": LOW, "/proc/sched_debug": LOW, "/proc/scsi": LOW, "/proc/acpi": MEDIUM,
    "/proc/asound": LOW, "/proc/timer_stats": LOW, "/proc/kmsg": MEDIUM, "/proc/vmallocinfo": LOW,
    "/proc/slabinfo": LOW, "/proc/pagetypeinfo": LOW, "/proc/kpagecount": MEDIUM, "/proc/kpageflags": MEDIUM,
    "/proc/kpagecgroup": MEDIUM, "/sys/firmware": LOW, "/sys/devices/virtual/powercap": MEDIUM,
    "/sys/kernel/debug": HIGH, "/sys/kernel/tracing": HIGH, "/sys/kernel/security": LOW, "/sys/fs/bpf": MEDIUM,
    "/sys/fs/pstore": LOW, "/sys/fs/selinux": LOW, "/sys/kernel/vmcoreinfo": MEDIUM, "/proc/cmdline": LOW,
}.items():  # fmt: skip
    each("masks", _severity, f"read {_path}", readable, _path)


@attempt("masks", LOW, "read the processors' thermal state")
def thermal():
    readable("/sys/devices/system/cpu/cpu0/thermal_throttle")


@attempt("masks", MEDIUM, "learn addresses of the kernel")
def addresses():
    if not re.search(rb"^[0-9a-f]*[1-9a-f][0-9a-f]* ", contents("/proc/kallsyms")):
        raise Refused("zeros")


for _path, _severity in {
    "/proc/sysrq-trigger": CRITICAL, "/proc/sys/kernel/core_pattern": CRITICAL, "/proc/sys/kernel/modprobe": CRITICAL,
    "/proc/sys/kernel/hotplug": CRITICAL, "/sys/kernel/uevent_helper": CRITICAL, "/proc/sys/kernel/panic": HIGH,
    "/proc/sys/kernel/hostname": LOW, "/proc/sys/kernel/randomize_va_space": HIGH, "/proc/sys/kernel/sysrq": HIGH,
    "/proc/sys/kernel/pid_max": MEDIUM, "/proc/sys/vm/overcommit_memory": HIGH, "/proc/sys/vm/panic_on_oom": HIGH,
    "/proc/sys/vm/drop_caches": MEDIUM, "/proc/sys/fs/binfmt_misc/register": CRITICAL, "/proc/sys/fs/file-max": HIGH,
    "/proc/sys/net/ipv4/ip_forward": MEDIUM, "/proc/sys/net/ipv4/conf/all/accept_redirects": LOW,
    "/proc/sys/net/ipv6/conf/all/accept_ra": LOW, "/proc/irq/default_smp_affinity": MEDIUM, "/proc/mtrr": HIGH,
    "/proc/sys/user/max_user_namespaces": HIGH, "/sys/power/state": HIGH, "/sys/kernel/mm/ksm/run": MEDIUM,
    "/sys/kernel/profiling": LOW, "/sys/devices/system/cpu/cpu1/online": HIGH,
    "/sys/kernel/reboot/mode": MEDIUM, "/proc/sys/dev/tty/legacy_tiocsti": MEDIUM,
}.items():  # fmt: skip
    each("kernel settings", _severity, f"write {_path}", writable, _path)


@attempt("kernel settings", MEDIUM, "be spared when memory runs out")
def spared():
    with open("/proc/self/oom_score_adj", "r+") as file:
        if int(file.read()) <= -999:
            raise NotHere
        file.seek(0)
        file.write("-999")


# Control groups


@attempt("control groups", CRITICAL, "write release_agent")
def release_agent():
    found = [f"{path}/release_agent" for path in hierarchies() if os.path.exists(f"{path}/release_agent")]
    if not found:
        raise Refused("not to be seen")
    for path in found:
        writable(path)


@attempt("control groups", HIGH, "make a group of one's own")
def own_group():
    if not hierarchies():
        raise Refused("none is mounted")
    make_folder(f"{hierarchies()[0]}/probe")


@attempt("control groups", HIGH, "raise one's own limits")
def raise_limits():
    names = ("memory.limit_in_bytes", "pids.max", "memory.max", "cgroup.procs")
    found = [f"{path}/{name}" for path in hierarchies() for name in names if os.path.exists(f"{path}/{name}")]
    if not found:
        raise Refused("not to be seen")
    for path in found:
        writable(path)


@attempt("control groups", LOW, "see where the group is on the host")
def group_path():
    if all(line.split(":", 2)[2] == "/" for line in whole("/proc/self/cgroup").decode().splitlines()):
        raise Refused("all are /")


@attempt("control groups", HIGH, "have as many processes as one likes")
def many_processes():
    for path in hierarchies():
        try:
            if contents(f"{path}/pids.max").strip() != b"max":
                raise Refused("limited")
        except FileNotFoundError:
            continue


# Devices


def node(major, minor):
    path = f"/tmp/node-{major}-{minor}"
    os.mknod(path, 0o600 | 0o020000, os.makedev(major, minor))
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    finally:
        os.unlink(path)


for _name, _major, _minor, _severity in (
    ("mem", 1, 1, CRITICAL), ("port", 1, 4, CRITICAL), ("kmsg", 1, 11, HIGH), ("tun", 10, 200, MEDIUM),
    ("fuse", 10, 229, MEDIUM), ("kvm", 10, 232, HIGH), ("loop-control", 10, 237, HIGH),
):  # fmt: skip
    each("devices", _severity, f"make the node {_name} and open it", node, _major, _minor)


@attempt("devices", CRITICAL, "make the node of a disk and open it")
def disk():
    path = "/tmp/node-disk"
    os.mknod(path, 0o600 | 0o060000, os.makedev(*FACTS.get("disk", (8, 0))))
    try:
        os.close(os.open(path, os.O_RDONLY))
    finally:
        os.unlink(path)


@attempt("devices", HIGH, "find more than the six nodes in /dev")
def more_nodes():
    allowed = {"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"}
    found = {name for name in os.listdir("/dev") if os.path.isfile(f"/dev/{name}") or _is_device(f"/dev/{name}")}
    if not found - allowed - {"core", "fd", "stdin", "stdout", "stderr"}:
        raise Refused("no more")


def _is_device(path):
    mode = os.lstat(path).st_mode
    return (mode & 0o170000) in (0o020000, 0o060000)


@attempt("devices", LOW, "fill memory by way of /dev")
def fill_dev():
    with open("/dev/filling", "wb") as file:
        try:
            for _ in range(32):
                file.write(b"x" * (1 << 20))
                file.flush()
        finally:
            os.unlink("/dev/filling")


@attempt("devices", LOW, "run a program from /dev or /dev/shm")
def run_from_dev():
    path = "/dev/shm/program"
    with open(path, "w") as file:
        file.write("#!/bin/sh\nexit 0\n")
    os.chmod(path, 0o755)
    try:
        subprocess.run([path], check=True)
    finally:
        os.unlink(path)
