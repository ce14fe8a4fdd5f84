"""What stands in a container's /etc/hosts and /etc/resolv.conf."""

from __future__ import annotations

from orchestra.plan.resolv import hosts, resolv_conf, resolv_conf_of_machine
from orchestra.stack.model import HostRoot, Service
from orchestra.values import replace

PLAIN = Service("web", HostRoot(), "")
MACHINE = "127.0.0.1 localhost\n192.0.2.7 files nas # not web\n"


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_the_own_name_leads_to_the_own_addresses() -> None:
    """Of every network, each once."""
    found = lines(hosts("web", PLAIN, {"a": "10.0.0.2", "b": "10.0.1.2", "c": "10.0.0.2"}, None))
    assert [line for line in found if "web" in line] == [["10.0.0.2", "web"], ["10.0.1.2", "web"]]


def test_without_an_address_the_own_name_leads_to_the_loopback() -> None:
    """So that there is one. Where the machine's network is used, the machine may know better."""
    assert ["127.0.1.1", "web"] in lines(hosts("web", PLAIN, {}, None))
    with_machine = lines(hosts("web", PLAIN, {}, None, MACHINE))
    assert ["127.0.1.1", "web"] in with_machine
    assert ["192.0.2.7", "files", "nas", "#", "not", "web"] in with_machine
    assert hosts("nas", PLAIN, {}, None, MACHINE) == MACHINE


def test_extra_hosts_come_last() -> None:
    """host-gateway stands for an address, or for nothing where there is none."""
    service = replace(PLAIN, extra_hosts=(("db", "192.0.2.1"), ("host", "host-gateway")))
    assert lines(hosts("web", service, {}, "10.0.0.1"))[-2:] == [["192.0.2.1", "db"], ["10.0.0.1", "host"]]
    assert lines(hosts("web", service, {}, None))[-1] == ["192.0.2.1", "db"]


def test_gateways_are_asked_for_names() -> None:
    """They know what `dns:` says; a name with dots is not searched for first (resolv.conf(5), ndots)."""
    service = replace(PLAIN, dns=("192.0.2.53",), dns_search=("a.example", "b.example"))
    said = ["nameserver 10.0.0.1", "search a.example b.example", "options ndots:0"]
    assert resolv_conf(service, ["10.0.0.1"]).splitlines() == said


def test_with_the_machines_network_its_resolvers_are_asked_unless_the_service_names_others() -> None:
    """Key by key, as docker does."""
    machine = "# ours\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n\ndomain x.example\noptions edns0\n"
    assert resolv_conf_of_machine(PLAIN, machine) == machine
    service = replace(PLAIN, dns=("192.0.2.53",), dns_search=("a.example",))
    said = ["# ours", "", "options edns0", "nameserver 192.0.2.53", "search a.example"]
    assert resolv_conf_of_machine(service, machine).splitlines() == said
