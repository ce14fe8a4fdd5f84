"""`up` makes what runs equal to the file, and touches nothing else."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest

from orchestra.supervisor.book import load_page

from .stage import COMMAND, PATIENCE, Stage, idle, sh, until

pytestmark = pytest.mark.kernel


def pids(stage: Stage) -> dict[str, int | None]:
    return {name: row["Pid"] for name, row in stage.rows().items()}


def what_happened(stage: Stage) -> list[str]:
    """Events, but for those that say that somebody asked."""
    lines = stage.ok("events", "--since", "1m", "--until", "0s").splitlines()
    return [line for line in lines if " stack asked" not in line]


def test_up_on_an_unchanged_stack_changes_nothing(orchestra: Stage) -> None:
    """The same processes, and nothing told in the events."""
    orchestra.up({"a": idle(), "b": idle(depends_on=["a"])})
    before, told = pids(orchestra), what_happened(orchestra)
    orchestra.ok("up", "-d")
    assert pids(orchestra) == before
    assert what_happened(orchestra) == told


def test_up_on_a_changed_stack_replaces_what_changed(orchestra: Stage) -> None:
    """Exactly the service whose configuration changed; the others keep their processes."""
    orchestra.up({"a": idle(), "b": idle(), "c": idle(depends_on=["b"])})
    before = pids(orchestra)
    said = orchestra.up({"a": idle(), "b": idle(environment={"NEW": "1"}), "c": idle(depends_on=["b"])})
    after = pids(orchestra)
    assert {name for name in before if before[name] != after[name]} == {"t-b-1"}
    assert orchestra.inside("b", "echo $NEW") == "1"
    assert "configuration changed" in orchestra.ok("events", "--since", "1m", "--until", "0s") + said


@pytest.mark.parametrize(
    "change",
    [{"labels": {"x": "1"}}, {"mem_limit": "100m"}, {"hostname": "other"}, {"stop_signal": "SIGINT"}, {"user": "7"}],
    ids=str,
)
def test_every_attribute_of_a_container_counts_as_a_change(orchestra: Stage, change: dict[str, Any]) -> None:
    """What a container is made from decides whether it is made anew."""
    orchestra.up({"a": idle()})
    before = pids(orchestra)
    orchestra.up({"a": idle(**change)})
    assert pids(orchestra) != before


def test_what_is_not_of_the_container_does_not_replace_it(orchestra: Stage) -> None:
    """Dependencies and scale are about the stack."""
    orchestra.up({"a": idle(), "b": idle()})
    before = pids(orchestra)
    orchestra.up({"a": idle(depends_on=["b"]), "b": idle(scale=2)})
    after = pids(orchestra)
    assert after.pop("t-b-2")
    assert after == before


def test_a_service_that_is_new_is_added(orchestra: Stage) -> None:
    """The others go on."""
    orchestra.up({"a": idle()})
    before = pids(orchestra)
    orchestra.up({"a": idle(), "b": idle()})
    assert pids(orchestra)["t-a-1"] == before["t-a-1"]
    assert orchestra.row("t-b-1")["State"] == "running"


def test_what_has_ended_is_started_again(orchestra: Stage) -> None:
    """`up` wants everything to run, also what was stopped by hand."""
    orchestra.up({"a": idle(), "b": idle()})
    before = pids(orchestra)
    orchestra.ok("stop", "a")
    orchestra.ok("up", "-d")
    assert orchestra.row("t-a-1")["State"] == "running"
    assert pids(orchestra)["t-b-1"] == before["t-b-1"]


def test_a_changed_network_is_made_anew_with_its_containers(orchestra: Stage) -> None:
    """Those on it are replaced, the others are not."""
    services = {"a": idle(networks=["n"]), "b": idle()}
    orchestra.up(services, networks={"n": {}})
    before = pids(orchestra)
    orchestra.up(services, networks={"n": {"internal": True}})
    after = pids(orchestra)
    assert after["t-a-1"] != before["t-a-1"]
    assert after["t-b-1"] == before["t-b-1"]
    assert orchestra.inside("a", "ip route show default") == ""
    for gateway, address in (("10.199.7.254", "10.199.7.2"), ("10.199.7.2", "10.199.7.3")):
        other = {"ipam": {"config": [{"subnet": "10.199.7.0/24", "gateway": gateway}]}}
        orchestra.up(services, networks={"n": other})
        assert orchestra.row("t-a-1")["Addresses"]["n"] == address
        assert f"via {gateway} dev eth0" in orchestra.inside("a", "ip route show default")


def test_dry_run_prints_steps_with_causes_and_changes_nothing(orchestra: Stage) -> None:
    """Of a stack that does not run yet, and of one that does."""
    orchestra.write({"services": {"a": idle(), "b": idle(depends_on=["a"])}})
    first = orchestra.ok("up", "--dry-run")
    assert re.search(r"t-a-1.*does not exist|a: it does not", first), first
    assert first.index("t-a-1") < first.index("t-b-1")
    assert orchestra.rows() == {}
    orchestra.ok("up", "-d")
    before = pids(orchestra)
    orchestra.write({"services": {"a": idle(environment={"X": "1"}), "b": idle(depends_on=["a"])}})
    second = orchestra.ok("up", "--dry-run")
    assert "configuration changed" in second
    assert pids(orchestra) == before


def test_dry_run_of_an_unchanged_stack_has_no_steps(orchestra: Stage) -> None:
    """Nothing to do is said in a word."""
    orchestra.up({"a": idle()})
    assert "t-a-1" not in orchestra.ok("up", "--dry-run")


def test_force_recreate_replaces_everything(orchestra: Stage) -> None:
    """Though nothing changed; and the next `up` leaves it."""
    orchestra.up({"a": idle(), "b": idle()})
    before = pids(orchestra)
    assert "stop t-a-1: a new one was asked for" in orchestra.ok("up", "--dry-run", "--force-recreate")
    orchestra.ok("up", "-d", "--force-recreate")
    after = pids(orchestra)
    assert not {name for name in before if before[name] == after[name]}
    orchestra.ok("up", "-d")
    assert pids(orchestra) == after


def test_no_recreate_leaves_what_changed(orchestra: Stage) -> None:
    """The file may say what it wants."""
    orchestra.up({"a": idle()})
    before = pids(orchestra)
    orchestra.up({"a": idle(environment={"X": "1"})}, "--no-recreate")
    assert pids(orchestra) == before


def test_scale_makes_and_removes_replicas(orchestra: Stage) -> None:
    """Up and down again; the ones that stay are not touched."""
    orchestra.up({"a": idle()}, "--scale", "a=3")
    three = pids(orchestra)
    assert set(three) == {"t-a-1", "t-a-2", "t-a-3"}
    orchestra.ok("up", "-d", "--scale", "a=2")
    assert pids(orchestra) == {name: pid for name, pid in three.items() if name != "t-a-3"}


def test_orphans_are_told_and_left(orchestra: Stage) -> None:
    """A service that the file has no more goes on until --remove-orphans."""
    orchestra.up({"a": idle(), "old": idle()})
    before = pids(orchestra)
    said = orchestra.up({"a": idle()})
    assert pids(orchestra) == before
    assert "t-old-1" in said
    assert "--remove-orphans" in said
    orchestra.up({"a": idle()}, "--remove-orphans")
    assert pids(orchestra) == {"t-a-1": before["t-a-1"]}


def test_profiles_switch_services_on(orchestra: Stage) -> None:
    """A service with profiles starts with one of them only, or when it is named."""
    services = {"a": idle(), "debug": idle(profiles=["tools"]), "more": idle(profiles=["other"])}
    orchestra.up(services)
    assert set(orchestra.rows()) == {"t-a-1"}
    orchestra.ok("up", "-d", "--profile", "tools")
    assert set(orchestra.rows()) == {"t-a-1", "t-debug-1"}
    orchestra.ok("up", "-d", "more")
    assert "t-more-1" in orchestra.rows()


def test_no_start_makes_and_does_not_start(orchestra: Stage) -> None:
    """--no-start, then start."""
    orchestra.up({"a": idle()}, "--no-start")
    assert orchestra.row("t-a-1")["State"] == "created"
    orchestra.ok("start")
    assert orchestra.row("t-a-1")["State"] == "running"


def test_no_deps_leaves_dependencies(orchestra: Stage) -> None:
    """--no-deps."""
    orchestra.write({"services": {"a": idle(depends_on=["b"]), "b": idle()}})
    orchestra.ok("up", "-d", "--no-deps", "a")
    assert [row["Service"] for row in orchestra.rows().values() if row["State"] == "running"] == ["a"]


def test_down_removes_everything_but_volumes(orchestra: Stage) -> None:
    """And a second `down` has nothing to do and is no error."""
    orchestra.up({"a": idle(volumes=["kept:/kept"])}, volumes={"kept": {}})
    orchestra.ok("down")
    assert orchestra.rows() == {}
    orchestra.ok("down")


def test_down_of_one_service_leaves_the_others(orchestra: Stage) -> None:
    """`down SERVICE`."""
    orchestra.up({"a": idle(), "b": idle()})
    before = pids(orchestra)
    orchestra.ok("down", "a")
    assert pids(orchestra) == {"t-b-1": before["t-b-1"]}


def test_up_tells_each_step_in_plain_lines_when_piped(orchestra: Stage) -> None:
    """A line for a change, as docker compose's plain progress."""
    said = orchestra.up({"a": idle(), "b": sh("trap 'exit 0' TERM; sleep 1000 & wait")})
    for name in ("t-a-1", "t-b-1"):
        assert f"Container {name}  Started" in said
    assert "\x1b" not in said


def test_up_from_the_pipe(orchestra: Stage) -> None:
    """`-f -` reads the file from stdin."""
    orchestra.names.add("t")
    orchestra.networks.add(("t", "default"))
    text = "name: t\nservices:\n  a: {rootfs: host, command: [sleep, '1000'], init: true}\n"
    orchestra.ok("up", "-d", "-f", "-", stdin=text)
    assert orchestra.ok("-p", "t", "ps", "-q").strip() == "t-a-1"


def test_who_leaves_a_network_has_its_address_there_until_it_has_gone(orchestra: Stage) -> None:
    """What looks after its links meanwhile finds it; afterwards its name and its address are free there."""
    slow = sh("trap '' TERM; while :; do sleep 0.1; done", stop_grace_period="3s")
    two = {"front": {}, "back": {}}
    orchestra.up({"a": {**slow, "networks": ["front", "back"]}, "b": idle(networks=["front"])}, networks=two)
    assert orchestra.inside("b", "getent hosts a") != ""
    left = {"a": {**slow, "networks": ["back"]}, "b": idle(networks=["front"])}
    orchestra.write({"services": left, "networks": two})
    with subprocess.Popen([*COMMAND, "up", "-d"], cwd=orchestra.work, env=orchestra.environ) as change:
        until(lambda: orchestra.row("t-a-1")["State"] == "stopping", "the old one stops")
        assert "t-a-1" in load_page(orchestra.stack()).addresses["front"]
        assert change.wait(timeout=PATIENCE) == 0
    until(lambda: "t-a-1" not in load_page(orchestra.stack()).addresses["front"], "it is let go of")
    assert orchestra.inside("b", "getent hosts a || echo nobody") == "nobody"
    assert "Traceback" not in orchestra.said()
