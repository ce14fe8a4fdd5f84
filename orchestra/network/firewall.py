"""The host's nft table of one router: `orchestra-<id>`, family ip. Deleting it takes back everything.

What it says, hook by hook, with L for the uplink and S for the subnet:

- early (raw): nothing from elsewhere claims a loopback address, which `route_localnet` would otherwise let in
  (CVE-2020-8558); nobody but L leads to S, so a neighbour who adds a route gets nowhere, nor does another network;
  nothing comes out of L under a foreign address.
- arriving, made-here (nat): a connection to a published port of this machine goes to the container.
- leaving (nat): traffic of S leaves under the address of the link it takes, which also leads the answers of a
  container that calls its own network's published port back the way they must go; what comes from 127.0.0.1 does so
  under L's address.
- passing (filter): into S go answers and what was published; out of S goes everything.
- entering (filter): a container reaches nothing that listens on the host, except what `allow_host` opens.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from orchestra.errors import OrchestraError
from orchestra.network import nft, shifting
from orchestra.network.expressions import (
    ACCEPT,
    DROP,
    JUMP,
    answers,
    comes_by,
    destination,
    destination_ports,
    leaves_by,
    masquerade,
    one_in,
    ping,
    refuse,
    source,
    to_this_machine,
    translate_address_to,
    translate_into,
    translate_to,
    translated,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from orchestra.network.netlink import Channel, Request
    from orchestra.plan.wiring import Publication, Router, Uplink

_RAW, _DNAT, _FILTER, _SNAT = -300, -100, 0, 100

_CHAINS = {
    "published": None,
    "host": None,
    "early": nft.Hook("filter", nft.PREROUTING, _RAW),
    "arriving": nft.Hook("nat", nft.PREROUTING, _DNAT),
    "made-here": nft.Hook("nat", nft.OUTPUT, _DNAT),
    "leaving": nft.Hook("nat", nft.POSTROUTING, _SNAT),
    "passing": nft.Hook("filter", nft.FORWARD, _FILTER),
    "entering": nft.Hook("filter", nft.INPUT, _FILTER),
}


def table_of(router_id: str) -> str:
    return f"orchestra-{router_id}"


def ensure_table(channel: Channel, router: Router, uplink: Uplink) -> None:
    """The table with its fixed rules. What is published and opened stays as it is."""
    table = table_of(router.id)
    requests = [nft.new_table(table)]
    requests += [nft.new_chain(table, name, hook) for name, hook in _CHAINS.items()]
    requests += [nft.flush_chain(table, name) for name, hook in _CHAINS.items() if hook is not None]
    requests += [nft.add_rule(table, chain, rule) for chain, rule in _rules(router.subnet, uplink)]
    nft.commit(channel, requests)


def _rules(subnet: str, uplink: Uplink) -> Iterator[tuple[str, bytes]]:
    link = uplink.link
    accept, drop = verdict(ACCEPT), verdict(DROP)
    into, out_of = leaves_by(link), comes_by(link)
    to_published = to_this_machine() + verdict(JUMP, "published")

    yield "early", comes_by("lo", wanted=False) + destination("127.0.0.0/8") + drop
    yield "early", comes_by(link, wanted=False) + destination(subnet) + drop
    yield "early", comes_by(link, wanted=False) + source(subnet) + drop
    ours = source(subnet, wanted=False) + source(uplink.router_address, wanted=False)
    yield "early", out_of + ours + drop

    yield "arriving", to_published
    yield "made-here", to_published

    yield "leaving", source(subnet) + masquerade()
    yield "leaving", into + source("127.0.0.0/8") + masquerade()

    yield "passing", into + answers() + accept
    yield "passing", into + translated() + accept
    yield "passing", into + drop

    yield "entering", comes_by(link, wanted=False) + accept
    yield "entering", answers() + accept
    yield "entering", ping() + accept
    yield "entering", destination(uplink.host_address) + verdict(JUMP, "host")
    yield "entering", refuse()


def publish(channel: Channel, router: Router, publications: Sequence[Publication]) -> None:
    """Replace what the router publishes, in one transaction."""
    if router.uplink is None:
        if publications:
            first = publications[0]
            raise OrchestraError(
                f"cannot publish port {first.host_port} of {first.owner}: network {router.label} is internal",
                "publish through a network that is not internal",
            )
        return
    table = table_of(router.id)
    added = [nft.add_rule(table, "published", rule) for rule in _published(publications)]
    nft.commit(channel, [nft.flush_chain(table, "published"), *added])


def _published(publications: Sequence[Publication]) -> Iterator[bytes]:
    def ports(publication: Publication) -> tuple[str, str, int, int]:
        return publication.protocol, publication.host_ip, publication.host_port, publication.count

    # A host address of its own before all addresses: the special case would else never be asked.
    ordered = sorted(publications, key=lambda p: (p.host_ip in _EVERYWHERE, ports(p), p.address, p.port))
    for (protocol, host_ip, first, count), replicas in itertools.groupby(ordered, key=ports):
        if ":" in host_ip:
            continue  # IPv6 comes by the held socket
        where = b"" if host_ip in _EVERYWHERE else destination(host_ip)
        whole = where + destination_ports(protocol, first, first + count - 1)
        for chance, replica in _balanced(list(replicas)):
            if count == 1:
                yield whole + chance + translate_to(replica.address, replica.port)
            elif first == replica.port:
                yield whole + chance + translate_address_to(replica.address)
            else:
                yield from _shifted(where, protocol, replica, chance)


_EVERYWHERE = ("", "0.0.0.0")


def _shifted(where: bytes, protocol: str, replica: Publication, chance: bytes) -> Iterator[bytes]:
    for first, last, low, high in shifting.shifts(replica.host_port, replica.port, replica.count):
        called = where + destination_ports(protocol, first, last)
        yield called + chance + translate_into(replica.address, low, high)


def _balanced(replicas: Sequence[Publication]) -> Iterator[tuple[bytes, Publication]]:
    """One in n to the first, one in n-1 of the rest to the second, and what remains to the last."""
    for position, replica in enumerate(replicas):
        left = len(replicas) - position
        yield one_in(left) if left > 1 else b"", replica


def open_host(channel: Channel, router: Router, containers: Iterable[str]) -> None:
    """Which containers (by address) may reach what listens on the host, at the uplink's host address."""
    table = table_of(router.id)
    rules = [source(address) + verdict(ACCEPT) for address in sorted(set(containers))]
    added: list[Request] = [nft.add_rule(table, "host", rule) for rule in rules]
    nft.commit(channel, [nft.flush_chain(table, "host"), *added])
