"""Firewalls of others: forward chains whose policy is drop (dockerd's, ufw's, firewalld's).

A packet passes only if every base chain of the hook lets it, so ours cannot help: their chain needs a rule that lets
our link through. What may pass is decided in our own chain. The rule is nothing but a link's name and a verdict,
because iptables-nft refuses to work on a table in which it finds an expression that it does not know (`ct` is one).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestra.network import nft
from orchestra.network.firewall import table_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestra.network.netlink import Channel
    from orchestra.plan.wiring import Router, Uplink


def foreign_forward_policies() -> list[str]:
    """Forward chains of others that drop what they don't know, for people: "ip filter FORWARD"."""
    with nft.nfnetlink() as channel:
        return [chain.describe() for chain in _dropping(channel)]


def ensure_forward_accept(channel: Channel, router: Router, uplink: Uplink) -> list[str]:
    """Let the uplink through each of them; what was done, for people."""
    mark = table_of(router.id)
    notices = []
    for chain in _dropping(channel):
        if len(nft.marked_rules(channel, chain, mark)) >= 2:
            continue
        _delete(channel, chain, mark)
        accept = nft.verdict(nft.ACCEPT)
        rules = (nft.comes_by(uplink.link) + accept, nft.leaves_by(uplink.link) + accept)
        nft.commit(channel, [nft.insert_rule(chain, rule, mark) for rule in rules])
        notices.append(
            f"the firewall drops forwarded traffic ({chain.describe()}): "
            f"let network {router.label} through ({uplink.link}) until it is removed"
        )
    return notices


def is_let_through(channel: Channel, router: Router) -> bool:
    mark = table_of(router.id)
    return all(len(nft.marked_rules(channel, chain, mark)) >= 2 for chain in _dropping(channel))


def remove_forward_accept(channel: Channel, router_id: str) -> None:
    """Also from chains whose policy is another one by now."""
    for chain in _forwarding(channel):
        _delete(channel, chain, table_of(router_id))


def _delete(channel: Channel, chain: nft.Chain, mark: str) -> None:
    handles = nft.marked_rules(channel, chain, mark)
    nft.commit(channel, [nft.delete_rule(chain, handle) for handle in handles])


def _forwarding(channel: Channel) -> Iterator[nft.Chain]:
    for chain in nft.base_chains(channel):
        if chain.hook == nft.FORWARD and chain.family in nft.FAMILIES and not chain.table.startswith("orchestra-"):
            yield chain


def _dropping(channel: Channel) -> Iterator[nft.Chain]:
    return (chain for chain in _forwarding(channel) if chain.policy == nft.DROP)
