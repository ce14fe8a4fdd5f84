"""A container shows nothing of the host, and has no rights over it."""

from __future__ import annotations

import os

import pytest

from orchestra.plan import defaults

from .conftest import Machine

pytestmark = pytest.mark.kernel
KINDS = ("user", "net", "pid", "mnt", "ipc", "uts", "cgroup")


def test_all_seven_namespaces_are_its_own(machine: Machine) -> None:
    """No namespace is the host's or another container's."""
    one, two = machine.sleeper(name="a"), machine.sleeper(name="b")
    for kind in KINDS:
        seen = {os.readlink(f"/proc/{pid}/ns/{kind}") for pid in ("self", one.pid, two.pid)}
        assert len(seen) == 3, kind


def test_root_inside_is_nobody_outside(machine: Machine) -> None:
    """uid 0 of the container is the first id of its range on the host."""
    running = machine.sleeper()
    with open(f"/proc/{running.pid}/status", encoding="ascii") as file:
        uids = next(line for line in file if line.startswith("Uid:")).split()[1:]
    assert {int(uid) for uid in uids} == {machine.range_of("a")}
    assert running.exec("id", "-u").out == "0\n"


def test_processes_inside_are_all_it_sees(machine: Machine) -> None:
    """The process list has pid 1, which is the service, and what it started."""
    listed = machine.shell("ps -e -o pid=,comm=").out.split()
    assert listed[:2] == ["1", "sh"]
    assert len(listed) == 4


def test_host_files_are_out_of_reach(machine: Machine) -> None:
    """Neither the test's own folder nor the host's secrets can be found, also not through pid 1's root or cwd."""
    (secret := machine.folder / "secret").write_text("x")
    hidden = (secret, "/etc/shadow", "/etc/machine-id", "/etc/ssh", "/boot", "/lib/modules/../../boot/grub")
    paths = [f"{way}{path}" for path in hidden for way in ("", "/proc/1/root", "/proc/1/cwd")]
    ended = machine.shell(
        "ls -d /etc/passwd " + " ".join(paths) + " 2>/dev/null; ls -A /home /mnt /tmp /var/lib /srv"
    )
    assert ended.out.split() == ["/etc/passwd", "/home:", "/mnt:", "/srv:", "/tmp:", "/var/lib:"]


def test_status_says_what_was_promised(machine: Machine) -> None:
    """Eleven capabilities at most, none inheritable or ambient, a filter of two programs, no new privileges."""
    status = dict(line.split(":\t") for line in machine.run("cat", "/proc/self/status").out.splitlines())
    wanted = sum(1 << defaults.ALL_CAPABILITIES.index(name) for name in defaults.CAPABILITIES)
    for name in ("CapBnd", "CapEff", "CapPrm"):
        assert int(status[name], 16) == wanted, name
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert status["Seccomp"] == "2"
    assert status["Seccomp_filters"] == "2"
    assert status["NoNewPrivs"] == "1"
    assert int(status["SigIgn"], 16) == int(status["SigBlk"], 16) == 0
    assert status["Umask"] == "0022"


def test_nothing_of_the_host_comes_along(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment, descriptors, working directory, mountinfo, cgroup and keyring are the container's own."""
    monkeypatch.setenv("HOST_SECRET", "hunter2")
    leak = os.open("/etc/shadow", os.O_RDONLY)
    os.set_inheritable(leak, True)
    ended = machine.python(
        "import os\n"
        "print(sorted(os.environ))\n"
        "print(sorted(int(f) for f in os.listdir('/proc/self/fd'))[:3], len(os.listdir('/proc/self/fd')))\n"
        "print(os.getcwd(), open('/proc/self/cgroup').read().count(':/\\n'), os.getsid(0))\n"
        "print(open('/proc/1/environ').read())\n"
        "print(open('/proc/self/mountinfo').read())\n"
    )
    os.close(leak)
    names, descriptors, rest, *others = ended.out.splitlines()
    assert names == "['HOME', 'LC_CTYPE', 'PATH']" or names == "['HOME', 'PATH']"
    assert descriptors == "[0, 1, 2] 4"  # the fourth is the listing's own
    assert rest.startswith("/ ")
    text = "\n".join(others)
    assert "hunter2" not in text
    assert str(machine.folder) not in text
    assert machine.base not in text
    assert "lowerdir=" in text
    with open("/proc/self/cgroup", encoding="ascii") as file:
        assert rest == f"/ {len(file.readlines())} 1"


def test_what_a_uid_zero_may_not_do(machine: Machine) -> None:
    """Things that root may do on the host, and no process here."""
    attempts = {
        "core pattern": "echo x >/proc/sys/kernel/core_pattern",
        "sysrq": "echo h >/proc/sysrq-trigger",
        "mount": "mount -t tmpfs x /mnt",
        "unmount a mask": "umount /proc/keys",
        "user namespace": "unshare -U true",
        "device node": "mknod /tmp/disk b 254 0",
        "host name": "hostname other",
        "usr": "touch /usr/x",
        "sys": "mkdir /sys/fs/cgroup/memory/x",
        "remount": "mount -o remount,rw /proc/sys",
        "clock": "date -s 2001-01-01",
        "kernel log": "dmesg",
        "links": "ip link add dummy0 type dummy",
        "negative oom": "echo -500 >/proc/self/oom_score_adj",
    }
    script = "".join(f"({command}) >/dev/null 2>&1 && echo '{name}';" for name, command in attempts.items())
    assert machine.shell(script + "true").out == ""


def test_nested_user_namespaces_stay_off_without_the_filter(machine: Machine) -> None:
    """user.max_user_namespaces is the second line behind the filter."""
    ended = machine.shell("unshare -U true; cat /proc/sys/user/max_user_namespaces", seccomp="")
    assert "No space left on device" in ended.out
    assert ended.out.endswith("\n0\n")


def test_pid_one_shows_nothing_of_the_keeper(machine: Machine) -> None:
    """While pid 1 is still a fork of the keeper it is not dumpable, and afterwards it is another program."""
    running = machine.sleeper()
    assert running.exec("sh", "-c", "readlink /proc/1/exe; cat /proc/1/maps").out.count("python") == 0


def test_without_a_user_namespace_the_rest_still_holds(machine: Machine) -> None:
    """`userns_mode: host`: real root, with the capabilities, the filter and the masks of any other container."""
    kinds = [{"type": kind} for kind in ("network", "pid", "mount", "ipc", "uts", "cgroup")]
    ended = machine.shell(
        "cat /proc/self/uid_map; grep CapBnd /proc/self/status; echo x >/proc/sys/kernel/core_pattern;"
        "mount -t tmpfs x /mnt; ls /home; head -c 1 /dev/zero | wc -c",
        namespaces=kinds,
    )
    assert ended.out.split()[:3] == ["0", "0", "4294967295"]
    assert int(ended.out.split()[4], 16).bit_count() == 11
    assert "Read-only file system" in ended.out
    assert "mount: /mnt" in ended.out
    assert ended.out.endswith("\n1\n")


def test_privileged_is_privileged_inside_only(machine: Machine) -> None:
    """All capabilities and no filter, but of the container's user namespace."""
    from .conftest import capabilities

    ended = machine.shell(
        "grep -E 'CapEff|Seccomp:' /proc/self/status; mount -t tmpfs x /mnt && echo mounted;"
        " echo x >/proc/sys/kernel/core_pattern || echo refused",
        capabilities=capabilities(defaults.ALL_CAPABILITIES),
        seccomp="",
        maskedPaths=[],
        readonlyPaths=[],
        noNewPrivileges=False,
    )
    effective = int(ended.out.split()[1], 16)
    assert effective.bit_count() >= 38
    assert "Seccomp:\t0" in ended.out
    assert "mounted" in ended.out
    assert "refused" in ended.out
