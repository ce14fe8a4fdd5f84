"""A start that fails says why, and leaves nothing."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from orchestra.runtime import StartError, cgroups, layers, start
from orchestra.runtime.mounts import Outside

from .conftest import Machine, capabilities, children, in_child, reap, until

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize(
    ("changes", "step", "word", "code"),
    [
        ({"args": ["nothing-here"]}, "exec", "nothing-here", 127),
        ({"args": ["/etc/passwd"]}, "exec", "/etc/passwd", 126),
        ({"args": ["/var"]}, "exec", "/var", 126),
        ({"user": {"uid": 0, "gid": 0, "username": "ghost"}}, "user", "ghost", 125),
        ({"cwd": "/etc/passwd"}, "cwd", "/etc/passwd", 125),
        ({"cwd": "/proc/self/fd/5"}, "cwd", "/proc/self/fd/5", 125),
        ({"layers": ["/not/there"]}, "layers", "/not/there", 125),
        ({"layers": []}, "layers", "layer", 125),
        ({"mounts": [{"destination": "/x", "type": "nfs", "source": "", "options": []}]}, "mount", "nfs", 125),
        ({"mounts": [{"destination": "/x", "type": "tmpfs", "source": "", "options": ["huge"]}]}, "mount", "/x", 125),
        ({"capabilities": capabilities(["CAP_FLY"])}, "capabilities", "CAP_FLY", 125),
        ({"seccomp": "/etc/hostname"}, "seccomp", "/etc/hostname", 125),
        ({"rlimits": [{"type": "RLIMIT_NICE", "soft": 99, "hard": 10}]}, "rlimit", "RLIMIT_NICE", 125),
        ({"sysctl": {"net.ipv4.nothing": "1"}}, "sysctl", "net/ipv4/nothing", 125),
        ({"resources": {"cpu": {"cpus": "9999"}}}, "cgroup", "cpuset 9999 cannot be set", 125),
        ({"hostname": "x" * 100}, "hostname", "xxx", 125),
    ],
)
@pytest.mark.parametrize("init", [False, True])
def test_each_failure_names_its_step_and_the_thing(
    machine: Machine, changes: dict[str, Any], step: str, word: str, code: int, init: bool
) -> None:
    """And leaves no cgroup, no process, and the sandbox as it was."""
    with pytest.raises(StartError) as caught:
        machine.run(*changes.get("args", ["true"]), **{"init": init, **changes})
    assert (caught.value.step, caught.value.code) == (step, code), caught.value
    assert word in caught.value.what
    assert not cgroups.driver().exists(f"{machine.scope}/a")
    reap(machine.ended)
    assert children() == []
    assert machine.run("echo", "next").out == "next\n"


def test_killed_before_it_began(machine: Machine) -> None:
    """A memory limit that even the start does not fit into is told from a service that ended."""
    with pytest.raises(StartError):
        machine.run("true", resources={"memory": {"limit": 4096}})
    assert not cgroups.driver().exists(f"{machine.scope}/a")


def test_a_starter_that_is_killed_takes_its_child_along(machine: Machine) -> None:
    """Pid 1 waits for the starter's word, so without one it goes; what is left is an empty cgroup to sweep."""
    spec = machine.spec("true")
    machine.sandbox("a")
    starter = os.fork()
    if starter == 0:
        start._Start._welcome = lambda *_: os.kill(os.getpid(), 9)  # type: ignore[assignment,method-assign]
        start.start(spec, 0, 1, 2)
    until(lambda: reap(machine.ended) or starter in machine.ended, "the starter was killed")
    until(lambda: reap(machine.ended) or not children(), "its child and the child's child are gone")
    driver = cgroups.driver()
    assert driver.list_below(machine.scope) == ["a"]
    assert driver.processes(f"{machine.scope}/a") == []
    driver.remove(f"{machine.scope}/a")
    assert machine.run("echo", "next").out == "next\n"


def test_a_container_that_runs_is_not_started_over(machine: Machine) -> None:
    """The second start is refused, and the first one lives."""
    running = machine.sleeper()
    with pytest.raises(StartError, match="busy"):
        machine.run("true")
    assert running.exec("echo", "alive").out == "alive\n"


def test_each_run_is_counted_anew(machine: Machine) -> None:
    """A kill for want of memory belongs to the run in which it happened."""
    limits = {"memory": {"limit": 32 << 20}}
    assert machine.python("x = bytearray(200 << 20)", resources=limits).code == -9
    assert cgroups.driver().oom_kills(f"{machine.scope}/a") == 1
    machine.sleeper(resources=limits)
    assert cgroups.driver().oom_kills(f"{machine.scope}/a") == 0


def test_the_writable_layer_of_other_ids_is_not_used(machine: Machine) -> None:
    """When a container's range has changed, its root would not be its own: said, not left to fail inside."""
    machine.run("true", name="a")
    upper = f"{machine.folder}/roots/a/upper"
    with pytest.raises(StartError, match="other ids"):
        machine.run("true", name="b", upper=upper)


def test_a_writable_layer_whose_making_was_cut_short_is_made(machine: Machine) -> None:
    """The starter was killed between a folder and its owner: the next start is none the wiser."""
    upper = f"{machine.folder}/roots/a/upper"
    chown = os.chown

    def killed(path: str, *owner: int, **options: Any) -> None:
        if path.startswith(upper):
            os.kill(os.getpid(), signal.SIGKILL)
        chown(path, *owner, **options)

    def cut_short() -> None:
        os.chown = killed
        layers._owned(upper, Outside(-1, machine.range_of("a"), 65536), [])

    with pytest.raises(EOFError):
        in_child(cut_short)
    assert machine.shell("touch /new && stat -c %u /", name="a").out == "0\n"
    assert sorted(os.listdir(f"{machine.folder}/roots/a")) == ["upper", "work"]


def test_the_keeper_s_umask_does_not_matter(machine: Machine) -> None:
    """A strict one would shut plain users out of the root."""
    before = os.umask(0o077)
    try:
        ended = machine.shell("touch /tmp/x; stat -c %a / /tmp/x /data", user={"uid": 33, "gid": 33}, mounts=[made])
    finally:
        os.umask(before)
    assert ended.out.split() == ["755", "644", "755"]


made = {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["mode=0755"]}


def test_an_error_crosses_processes_unharmed() -> None:
    """Whatever bytes a path has."""
    error = StartError("mount", 13, "cannot mount /\udcff\0: Permission denied", 126)
    again = StartError.decode(error.encode())
    assert (again.step, again.errno, again.what, again.code) == (error.step, error.errno, error.what, error.code)


def test_descriptors_are_not_leaked(machine: Machine) -> None:
    """Good and failed starts leave the starter's own table as it was, but for what it opened for this one start."""
    before = len(os.listdir("/proc/self/fd"))
    machine.run("true")
    with pytest.raises(StartError):
        machine.run("nothing-here")
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_a_filter_there_is_no_silent_start(machine: Machine) -> None:
    """A filter that is named and not there is an error."""
    with pytest.raises(StartError, match=r"gone\.bpf"):
        machine.run("true", seccomp=f"{machine.folder}/gone.bpf")
