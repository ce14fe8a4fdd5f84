"""What a container sees of the machine: nothing but itself."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path
from typing import Any

import pytest

from .stage import Stage, idle, namespaces

pytestmark = pytest.mark.kernel
KINDS = ("user", "pid", "net", "ipc", "mnt", "uts", "cgroup", "time")
DEFAULT_CAPABILITIES = {
    "chown": 0,
    "dac_override": 1,
    "fowner": 3,
    "fsetid": 4,
    "kill": 5,
    "setgid": 6,
    "setuid": 7,
    "setpcap": 8,
    "net_bind_service": 10,
    "sys_chroot": 18,
    "setfcap": 31,
}


@pytest.fixture(scope="module")
def pair(shared: Stage) -> Stage:
    """Two containers of one stack, side by side."""
    shared.up({"a": idle(), "b": idle()})
    return shared


@pytest.fixture(scope="module")
def a(pair: Stage) -> dict[str, Any]:
    return pair.probe("a")


@pytest.fixture(scope="module")
def b(pair: Stage) -> dict[str, Any]:
    return pair.probe("b")


@pytest.mark.parametrize("kind", KINDS)
def test_each_namespace_is_the_containers_own(a: dict[str, Any], b: dict[str, Any], kind: str) -> None:
    """All seven namespaces differ from the host's and from the neighbour's."""
    host = namespaces("self")[kind]
    assert len({host, a["namespaces"][kind], b["namespaces"][kind]}) == 3


def test_what_is_run_inside_is_in_the_namespaces_of_the_service(pair: Stage, a: dict[str, Any]) -> None:
    """`exec` joins the service's process in all of its namespaces."""
    inside = pair.inside("a", "for n in /proc/1/ns/*; do readlink $n; done").split()
    assert set(a["namespaces"].values()) <= set(inside)


def test_root_inside_is_nobody_outside(pair: Stage, a: dict[str, Any]) -> None:
    """User 0 of the container is an unprivileged user of the host that no account belongs to."""
    assert a["uid"] == 0
    outside = os.stat(f"/proc/{pair.pid('t-a-1')}").st_uid
    assert outside > 65535
    assert outside not in {entry.pw_uid for entry in pwd.getpwall()}


def test_each_container_has_its_own_range_of_users(a: dict[str, Any], b: dict[str, Any]) -> None:
    """The ranges of ids of two containers don't touch."""
    (_, first, size), (_, second, other) = (map(int, found["uid_map"]) for found in (a, b))
    assert size == other == 65536
    assert abs(first - second) >= size
    assert a["uid_map"] == a["gid_map"]


def test_only_the_containers_own_processes_are_seen(a: dict[str, Any]) -> None:
    """The list of processes has the service, its children and who asks."""
    assert a["one"][0] == "sh"
    assert all(words.split()[0] in ("sh", "sleep", "python3") for words in a["processes"].values()), a["processes"]


@pytest.mark.parametrize("folder", ["/work", "/home", "/mnt"])
def test_folders_of_the_host_are_not_there(a: dict[str, Any], folder: str) -> None:
    """Of the host's folders the container sees nothing."""
    assert a["folders"][folder] in ([], ["error 2"])


def test_the_hosts_root_folder_is_not_there(pair: Stage, a: dict[str, Any]) -> None:
    """/root has nothing but, if Python lives there, the way to Python."""
    python = os.path.realpath(sys.executable)
    allowed = {python.split("/")[2]} if python.startswith("/root/") else set()
    assert set(a["folders"]["/root"]) <= allowed
    Path("/root/orchestra-secret").write_text("host")
    try:
        assert "host" not in pair.inside("a", "cat /root/orchestra-secret 2>&1 || true")
    finally:
        Path("/root/orchestra-secret").unlink()


def test_the_hosts_passwords_are_not_there(a: dict[str, Any]) -> None:
    """/etc/shadow is not the host's."""
    assert a["shadow"].startswith("error") or a["shadow"] != Path("/etc/shadow").read_text()


def test_var_is_the_containers_own(pair: Stage, a: dict[str, Any]) -> None:
    """/var/lib and /var/log of the host don't show."""
    assert pair.inside("a", "ls /var/lib /var/log | grep -v : | grep . || true") == ""


def test_no_path_of_the_host_is_in_the_list_of_mounts(pair: Stage, a: dict[str, Any]) -> None:
    """What the root is made of tells nothing about where things are kept on the host."""
    assert not [line for line in a["mounts"] if str(pair.folder) in line]


def test_the_usr_of_the_host_cannot_be_written(pair: Stage) -> None:
    """The host's /usr is there and read-only."""
    assert "Read-only" in pair.inside("a", "touch /usr/bin/new 2>&1 || true")


def test_capabilities_are_the_few_by_default(a: dict[str, Any]) -> None:
    """Root inside has eleven capabilities and can get no other."""
    wanted = sum(1 << bit for bit in DEFAULT_CAPABILITIES.values())
    found = {key: int(a["status"][key], 16) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    assert found == {"CapInh": 0, "CapPrm": wanted, "CapEff": wanted, "CapBnd": wanted, "CapAmb": 0}


def test_system_calls_are_filtered(pair: Stage, a: dict[str, Any]) -> None:
    """A seccomp filter is in force for the service and for what is run beside it."""
    assert a["status"]["Seccomp"] == "2"
    assert "Seccomp:\t2" in a["one_status"]


def test_no_program_raises_its_rights(pair: Stage, a: dict[str, Any]) -> None:
    """no_new_privs holds for the service and for what is run beside it."""
    assert a["status"]["NoNewPrivs"] == "1"
    assert "NoNewPrivs:\t1" in a["one_status"]


def test_nothing_of_the_host_is_open(pair: Stage, a: dict[str, Any]) -> None:
    """No descriptor but the three, and the one that lists them."""
    assert len(a["descriptors"]) <= 4
    pid = pair.pid("t-a-1")
    assert {name for name in os.listdir(f"/proc/{pid}/fd") if int(name) < 10} == {"0", "1", "2"}


def test_nothing_of_the_hosts_environment_gets_inside(pair: Stage, a: dict[str, Any]) -> None:
    """The environment is made from nothing."""
    assert "ORCHESTRA_HOME" not in a["environ"]
    assert "PYTHONPATH" not in a["environ"]
    assert set(a["environ"]) <= {"PATH", "HOME", "HOSTNAME", "TERM", "LANG", "LC_CTYPE", "PWD", "SHLVL", "_"}


def test_the_kernels_switches_cannot_be_turned(pair: Stage) -> None:
    """/proc/sys belongs to the host."""
    said = pair.inside(
        "a", "echo x > /proc/sys/kernel/core_pattern; echo b > /proc/sysrq-trigger; true 2>&1", "-e", "A=1"
    )
    assert said == ""
    assert Path("/proc/sys/kernel/core_pattern").read_text().strip() != "x"


@pytest.mark.parametrize(
    "attempt",
    [
        "mount -t tmpfs none /mnt",
        "unshare -U true",
        "mknod /tmp/sda b 8 0",
        "hostname other",
        "ip link add dummy0 type dummy",
        "chroot /proc/1/root true && kill -0 -1 && false",
        "dmesg",
    ],
)
def test_what_only_the_host_may_do_is_refused(pair: Stage, attempt: str) -> None:
    """Mounting, new user namespaces, devices, the host name and links are out of reach."""
    assert pair.run("exec", "-T", "a", "sh", "-c", attempt).returncode != 0


def test_containers_of_one_stack_have_files_of_their_own(pair: Stage) -> None:
    """What one writes, the other does not see."""
    pair.inside("a", "echo mine > /tmp/mine; echo mine > /mine")
    assert pair.inside("b", "ls /tmp / | grep mine || true") == ""


def test_capabilities_are_added_and_dropped_by_name(orchestra: Stage) -> None:
    """cap_drop and cap_add change exactly what they name."""
    orchestra.up(
        {
            "none": idle(cap_drop=["ALL"]),
            "one": idle(cap_drop=["ALL"], cap_add=["NET_RAW"]),
            "less": idle(cap_drop=["CHOWN"]),
        }
    )
    all_but_chown = sum(1 << bit for bit in DEFAULT_CAPABILITIES.values()) & ~1
    found = {name: int(orchestra.probe(name)["status"]["CapBnd"], 16) for name in ("none", "one", "less")}
    assert found == {"none": 0, "one": 1 << 13, "less": all_but_chown}


def test_security_options_turn_the_guards_off(orchestra: Stage) -> None:
    """seccomp:unconfined and no-new-privileges:false do what they say."""
    orchestra.up({"a": idle(security_opt=["seccomp:unconfined", "no-new-privileges:false"])})
    status = orchestra.probe("a")["status"]
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("0", "0")


def test_a_privileged_container_is_still_in_a_user_namespace(orchestra: Stage) -> None:
    """privileged gives all capabilities, over the container's own namespaces only."""
    orchestra.up({"a": idle(privileged=True)})
    found = orchestra.probe("a")
    assert int(found["status"]["CapEff"], 16) & (1 << 21)
    assert found["namespaces"]["user"] != namespaces("self")["user"]
