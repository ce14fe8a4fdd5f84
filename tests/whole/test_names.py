"""Services find each other by name, on the networks that they share."""

from __future__ import annotations

import json
import os
import re

import pytest

from .stage import Stage, idle, py, sh, until
from .world import SERVE

pytestmark = pytest.mark.kernel
LOOK = """
import json, socket, sys
try:
    print(json.dumps(sorted(socket.gethostbyname_ex(sys.argv[1])[2])))
except OSError as error:
    print(json.dumps([]))
"""
ORDER = """
import json, socket
print(json.dumps([socket.gethostbyname_ex("many")[2] for _ in range(20)]))
"""


def look(stage: Stage, service: str, name: str) -> list[str]:
    """The addresses that a name has, seen from a service."""
    found: list[str] = json.loads(stage.ok("exec", "-T", service, "python3", "-c", LOOK, name))
    return found


@pytest.fixture(scope="module")
def town(shared: Stage) -> Stage:
    """Two networks: `a` on one, `b` on the other, `both` on both, `many` three times."""
    shared.up(
        {
            "a": idle(networks=["front"]),
            "b": py(SERVE, networks={"back": {"aliases": ["database", "db.internal"]}}, stop_signal="SIGKILL"),
            "both": idle(networks=["front", "back"]),
            "named": idle(networks=["front"], container_name="my-own-name"),
            "many": idle(networks=["front"], scale=3),
        },
        networks={"front": {}, "back": {}},
    )
    return shared


def own(stage: Stage, service: str) -> list[str]:
    return sorted(stage.inside(service, "hostname -I").split())


def test_a_service_is_found_by_its_name(town: Stage) -> None:
    """The name of a service has the address of its container."""
    assert look(town, "both", "b") == own(town, "b")


def test_a_service_is_found_by_its_alias(town: Stage) -> None:
    """Aliases of a network are names as good as the service's own."""
    assert look(town, "both", "database") == own(town, "b") == look(town, "both", "db.internal")


def test_a_container_is_found_by_its_name(town: Stage) -> None:
    """The name of a container, made or given."""
    assert look(town, "both", "t-b-1") == own(town, "b")
    assert look(town, "a", "my-own-name") == own(town, "named")


def test_a_service_is_found_with_the_name_of_its_stack(town: Stage) -> None:
    """`service.stack` and `service.network`-less names mean the same."""
    assert look(town, "both", "b.t") == own(town, "b")


def test_names_are_found_in_any_case(town: Stage) -> None:
    """As everywhere in DNS."""
    assert look(town, "both", "B") == own(town, "b")


def test_replicas_share_one_name(town: Stage) -> None:
    """All addresses of a service with three containers."""
    found = look(town, "a", "many")
    assert len(found) == len(set(found)) == 3
    assert look(town, "a", "t-many-2")[0] in found


def test_replicas_come_in_changing_order(town: Stage) -> None:
    """So that the first address is not always the same one."""
    answers = json.loads(town.python("a", ORDER))
    assert len({answer[0] for answer in answers}) > 1


def test_replicas_have_hostnames_of_their_own(town: Stage) -> None:
    """In UTS, HOSTNAME, /etc/hosts and /etc/hostname, in the container's first process as in others; each is found by
    the others under it, and by itself."""
    tell = 'hostname; echo $HOSTNAME; cat /etc/hostname; tr "\\0" "\\n" < /proc/1/environ | sed -n s/^HOSTNAME=//p'
    known = {}
    for index in ("1", "2", "3"):
        (name,) = set(town.inside("many", tell, "--index", index).split())
        address = town.inside("many", "hostname -I", "--index", index).strip()
        assert f"{address}\t{name}\n" in town.inside("many", "cat /etc/hosts", "--index", index) + "\n"
        assert look(town, "a", name) == [address]
        known[name] = address
    assert len(known) == 3
    assert all(re.fullmatch("[a-f][0-9a-f]{11}", name) for name in known)


def test_a_hostname_is_kept(orchestra: Stage) -> None:
    """Through a restart, and when others are put beside it, which restarts nothing."""
    orchestra.up({"a": idle(), "y" * 100: idle()})
    before, pid = orchestra.inside("a", "hostname"), orchestra.pid("t-a-1")
    orchestra.ok("scale", "a=3")
    assert (orchestra.inside("a", "hostname"), orchestra.pid("t-a-1")) == (before, pid)
    orchestra.ok("restart", "a")
    assert orchestra.pid("t-a-1") != pid
    assert orchestra.inside("a", "hostname") == before
    assert len(orchestra.inside("y" * 100, "hostname")) == 12


def test_a_hostname_takes_no_name_of_a_service(orchestra: Stage) -> None:
    """Nobody is led astray by who only calls himself so."""
    orchestra.up({"db": idle(), "a": idle(hostname="db", scale=2), "b": idle(hostname="two", scale=2)})
    assert look(orchestra, "b", "db") == own(orchestra, "db")
    assert look(orchestra, "a", "two") == look(orchestra, "a", "b")


def test_a_service_of_another_network_is_not_found(town: Stage) -> None:
    """`a` and `b` share no network."""
    assert look(town, "a", "b") == []
    assert look(town, "a", "database") == []


def test_a_service_of_another_network_is_not_reached(town: Stage) -> None:
    """Not by its address either."""
    target = own(town, "b")[0]
    program = f"import socket; s = socket.socket(); s.settimeout(0.5); print(s.connect_ex(('{target}', 8000)))"
    assert town.python("both", program) == "0"
    assert town.python("a", program) != "0"


def test_a_service_on_two_networks_has_two_addresses(town: Stage) -> None:
    """One link and one address for each network."""
    assert len(own(town, "both")) == 2


def test_an_unknown_name_is_refused_at_once(town: Stage) -> None:
    """A misspelt service is no question for the world."""
    assert look(town, "a", "no-such-service") == []


def test_a_fixed_address_is_kept_to(orchestra: Stage) -> None:
    """`ipv4_address` in a network with a subnet of its own."""
    orchestra.up(
        {"a": idle(networks={"fixed": {"ipv4_address": "10.231.77.9"}}), "b": idle(networks=["fixed"])},
        networks={"fixed": {"ipam": {"config": [{"subnet": "10.231.77.0/24"}]}}},
    )
    assert own(orchestra, "a") == ["10.231.77.9"]
    assert look(orchestra, "b", "a") == ["10.231.77.9"]


@pytest.mark.parametrize("act", ["restart", "kill", "stop and start"])
def test_a_service_keeps_its_address(orchestra: Stage, act: str) -> None:
    """Through restarts, asked for or not."""
    orchestra.up({"a": idle(restart="always"), "b": idle()})
    before = own(orchestra, "a")
    pid = orchestra.pid("t-a-1")
    if act == "restart":
        orchestra.ok("restart", "a")
    elif act == "kill":
        os.kill(pid, 9)
        until(lambda: orchestra.row("t-a-1")["State"] == "running" and orchestra.pid("t-a-1") != pid, "it is back")
    else:
        orchestra.ok("stop", "a")
        orchestra.ok("start", "a")
    assert orchestra.pid("t-a-1") != pid
    assert own(orchestra, "a") == before == look(orchestra, "b", "a")


def test_a_replica_that_has_ended_is_left_out(orchestra: Stage) -> None:
    """A name leads to those that run."""
    orchestra.up({"many": idle(scale=3), "a": idle()})
    gone = look(orchestra, "a", "t-many-2")
    os.kill(orchestra.pid("t-many-2"), 9)
    until(lambda: orchestra.row("t-many-2")["State"] == "exited", "it has ended")
    found = look(orchestra, "a", "many")
    assert len(found) == 2
    assert gone[0] not in found


def test_a_service_that_has_ended_has_no_address(orchestra: Stage) -> None:
    """Stopped by hand, or at its end; one that is only between two runs keeps it."""
    failing = sh("exit 1", restart="always")
    orchestra.up({"a": idle(), "job": sh("true"), "b": idle(), "failing": failing})
    until(lambda: orchestra.row("t-job-1")["State"] == "exited", "it has ended")
    until(lambda: orchestra.row("t-failing-1")["Restarts"] > 2, "it waits to be started again")
    assert look(orchestra, "a", "job") == []
    assert len(look(orchestra, "a", "failing")) == 1
    assert len(look(orchestra, "a", "b")) == 1
    orchestra.ok("stop", "b")
    assert look(orchestra, "a", "b") == []
    orchestra.ok("start", "b")
    assert len(look(orchestra, "a", "b")) == 1
