"""What the sites see of a shared service, and what they do not see: each other, and the rest of the owner's stack."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from whole.stage import until

from .town import BRIEFLY, Town

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]


def here(town: Town, stack: str) -> str:
    """The address of accounts in a site's network."""
    (address,) = town.look(stack, "front", "accounts")
    return address


def test_it_has_the_name_that_the_site_gives_it(sites: Town) -> None:
    """The service's name, aliases, `service.stack` by either stack, and the container's own name."""
    address = here(sites, "a")
    for name in ("accounts.a", "accounts.own", "own-accounts-1", "members", "id.internal", "ACCOUNTS"):
        assert sites.look("a", "front", name) == [address], name
    assert sites.look("b", "front", "members") == []
    assert sites.ask("a", "front", "members").startswith("first ")


def test_it_has_an_address_of_each_site_and_knows_who_asks(sites: Town) -> None:
    """It is asked from the site's own addresses, and goes out by its own stack's network only."""
    for stack in ("a", "b"):
        (front,) = sites.addresses(stack, "front")
        assert sites.ask(stack, "front", "accounts") == f"first {front}"
        assert here(sites, stack).rpartition(".")[0] == front.rpartition(".")[0]
    routes = sites.ok("exec", "-T", "-p", "own", "accounts", "ip", "-json", "route").strip()
    defaults = [route["dev"] for route in json.loads(routes) if route["dst"] == "default"]
    assert defaults == ["eth0"]


def test_the_owners_other_services_are_out_of_reach(sites: Town) -> None:
    """By name and by address, also for who sends packets for them through the shared service."""
    sites.ok("-p", "own", "start", "db")
    db = sites.addresses("own", "db")[0]
    assert sites.look("a", "front", "db") == [] == sites.look("a", "front", "db.own")
    assert "nobody" in sites.ask("a", "front", db, BRIEFLY)
    lead_through(sites, db, here(sites, "a"))
    assert "nobody" in sites.ask("a", "router", db, BRIEFLY)
    assert not forwarded(sites, "own", "accounts")


def test_the_sites_do_not_see_each_other(sites: Town) -> None:
    """Neither by name nor by address nor through the service that both of them see."""
    (other,) = sites.addresses("b", "back")
    assert sites.ask("b", "front", other).startswith("back of b")
    assert sites.look("a", "front", "back.b") == []
    assert "nobody" in sites.ask("a", "front", other, BRIEFLY)
    lead_through(sites, other, here(sites, "a"))
    assert "nobody" in sites.ask("a", "router", other, BRIEFLY)
    through_others_address = here(sites, "b")
    assert sites.ask("a", "front", here(sites, "a")).startswith("first")
    assert "nobody" in sites.ask("a", "front", through_others_address, BRIEFLY)


def test_the_shared_service_forwards_nothing(sites: Town) -> None:
    """Its namespace is no router, whatever the machine's own setting is."""
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"
    look = "cd /proc/sys/net/ipv4; cat ip_forward conf/g*/rp_filter"
    settings = sites.ok("exec", "-T", "-p", "own", "accounts", "sh", "-c", look)
    assert settings.split() == ["0", "1", "1"]


def test_the_owner_reaches_nothing_of_the_sites(sites: Town) -> None:
    """The way into a site leads nowhere but to the shared service itself."""
    (front,) = sites.addresses("a", "back")
    assert "nobody" in sites.ask("own", "db", front, BRIEFLY)
    assert sites.look("own", "accounts", "back") == []


def test_people_are_told_who_uses_whom(sites: Town) -> None:
    """ps, ls, graph, why and config, from either side."""
    (guest,) = sites.guests("a").values()
    assert (guest["Name"], guest["Service"], guest["Owner"]) == ("own-accounts-1", "accounts", "own")
    assert (guest["State"], guest["Health"]) == ("running", "healthy")
    assert guest["Addresses"] == {"default": here(sites, "a")}
    table = sites.ok("-p", "a", "ps").splitlines()
    assert "OWNER" in table[0]
    listed = {stack["Name"]: stack for stack in json.loads(sites.ok("ls", "--format", "json"))}
    assert (listed["a"]["Uses"], listed["own"]["UsedBy"]) == ("accounts of own", "a, b")
    assert (listed["own"]["Status"], listed["a"]["Status"]) == ("running(2)", "running(3)")
    graph = sites.ok("graph", str(sites.work / "a/a.yml"))
    assert "└─ accounts (healthy, of stack own)" in graph
    assert "accounts is used by stack a (as accounts)" in sites.ok("graph", str(sites.work / "own/own.yml"))
    assert "style=dashed" in sites.ok("graph", "--dot", str(sites.work / "a/a.yml"))
    assert "accounts (of stack own) is there" in sites.ok("-p", "a", "why", "accounts")
    model = json.loads(sites.ok("config", "--format", "json", str(sites.work / "b/b.yml")))
    assert model["services"]["accounts"] == {
        "uses": {"stack": str(sites.work / "own/own.yml"), "service": "accounts"},
        "networks": {"default": None},
    }


def test_logs_and_exec_go_to_the_owners_container(sites: Town) -> None:
    """By its name; the site's own logs are without it."""
    log = "print('said for the log', flush=True)"
    sites.ok("exec", "-T", "-p", "a", "accounts", "sh", "-c", f'python3 -c "{log}" > /proc/1/fd/1')
    until(lambda: "said for the log" in sites.ok("-p", "own", "logs", "accounts"), "it is in the owner's log")
    assert "said for the log" in sites.ok("-p", "a", "logs", "accounts")
    assert "said for the log" not in sites.ok("-p", "a", "logs")
    hostname = sites.ok("exec", "-T", "-p", "own", "accounts", "hostname")
    assert sites.ok("exec", "-T", "-p", "a", "accounts", "hostname") == hostname
    assert json.loads(sites.ok("-p", "a", "inspect", "accounts"))[0]["Id"] == "own-accounts-1"
    assert "own-accounts-1" in sites.ok("-p", "a", "stats", "--no-stream", "accounts")
    assert "own" not in sites.ok("-p", "a", "stats", "--no-stream")
    assert "python3" in sites.ok("-p", "a", "top", "accounts")
    sites.ok("-p", "a", "cp", "accounts:/etc/hostname", str(sites.work / "copied"))
    assert (sites.work / "copied").read_text() == hostname


@pytest.mark.parametrize("verb", ["restart", "stop", "kill", "rm", "start"])
def test_what_changes_it_is_the_owners(sites: Town, verb: str) -> None:
    """Refused with its owner's name and the way to say it there."""
    said = sites.fails("-p", "a", verb, "accounts", *(["-f"] if verb == "rm" else []))
    assert "accounts belongs to stack own" in said
    assert f"try: orchestra -p own {verb} accounts" in said


def test_a_site_restarts_only_what_is_its_own(sites: Town) -> None:
    """`restart` of the whole site leaves the shared service alone."""
    before = sites.pid("own-accounts-1")
    sites.ok("-p", "a", "restart", "-t", "1")
    assert sites.pid("own-accounts-1") == before


def test_a_plug_that_was_pulled_out_is_put_in_again(sites: Town) -> None:
    """At either end; within the seconds in which anything else of the network is healed."""
    address = here(sites, "a")
    for pin in (sites.stack("a").router_pin("default"), sites.stack("own").net_pin("own-accounts-1")):
        links = subprocess.run(
            ["nsenter", f"--net={pin}", "ip", "-json", "link"], check=True, capture_output=True, text=True
        ).stdout
        names = [link["ifname"] for link in json.loads(links)]
        mark = "".join(f"{int(part):02x}" for part in address.split("."))
        name = next(name for name in names if name.endswith(mark))
        subprocess.run(["nsenter", f"--net={pin}", "ip", "link", "delete", name], check=True)
        until(lambda: sites.ask("a", "front", "accounts", "1").startswith("first "), "it is healed", 20)
        assert here(sites, "a") == address


def lead_through(sites: Town, destination: str, gateway: str) -> None:
    """Have `router`, which may, send what is for an address by way of the shared service."""
    sites.ok("exec", "-T", "-p", "a", "--privileged", "router", "ip", "route", "replace", destination, "via", gateway)
    assert gateway in sites.ok("exec", "-T", "-p", "a", "router", "ip", "route", "get", destination)


def forwarded(sites: Town, stack: str, service: str) -> int:
    """How many packets its kernel has passed on (snmp: Ip ForwDatagrams)."""
    lines = sites.ok("exec", "-T", "-p", stack, service, "cat", "/proc/net/snmp").splitlines()
    names, values = (line.split() for line in lines if line.startswith("Ip:"))
    return int(values[names.index("ForwDatagrams")])
