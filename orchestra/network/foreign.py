"""Firewalls of others: forward chains that drop what they don't know (dockerd's, ufw's, firewalld's).

A packet passes only if every base chain of the hook lets it, so ours cannot help: their chain needs a rule that lets
our link through. What may pass is decided in our own chain. The rule is nothing but a link's name and a verdict,
because iptables-nft refuses to work on a table in which it finds an expression that it does not know (`ct` is one).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestra.errors import OrchestraError
from orchestra.network import legacy, nft
from orchestra.network.expressions import ACCEPT, DROP, comes_by, leaves_by, verdict
from orchestra.network.firewall import table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestra.network.netlink import Channel
    from orchestra.plan.wiring import Router, Uplink


def foreign_forward_policies() -> list[str]:
    """Forward chains of others that drop what they don't know, for people: "ip filter FORWARD"."""
    with nft.nfnetlink() as channel:
        found = [chain.describe() for chain, _ in _dropping(channel)]
    return [*found, legacy.CHAIN] if legacy.drops_forwarded() else found


def ensure_forward_accept(channel: Channel, router: Router, uplink: Uplink) -> list[str]:
    """Let the uplink through each of them; what was done or has to be done, for people."""
    mark = table_of(router.id)
    owned = nft.owned_tables(channel)
    notices = []
    for chain, rules in _dropping(channel):
        said = f"the firewall drops forwarded traffic ({chain.describe()})"
        if (chain.family, chain.table) in owned:
            notices.append(f"{said} and only its owner can change it: let {uplink.link} of {router.label} through")
        elif not _is_open(rules, mark):
            _open(channel, chain, rules, uplink, mark)
            notices.append(f"{said}: network {router.label} is let through ({uplink.link}) until it is removed")
    return notices + _ensure_legacy_accept(router, uplink)


def _ensure_legacy_accept(router: Router, uplink: Uplink) -> list[str]:
    said = f"the firewall drops forwarded traffic ({legacy.CHAIN})"
    try:
        if not legacy.ensure_let_through(uplink.link):
            return []
    except OrchestraError as error:
        return [f"{said} and {error.what}: to let network {router.label} through, say {error.hint}"]
    return [f"{said}: network {router.label} is let through ({uplink.link}) until it is removed"]


def _open(channel: Channel, chain: nft.Chain, rules: Sequence[nft.Rule], uplink: Uplink, mark: str) -> None:
    accept = verdict(ACCEPT)
    added = (comes_by(uplink.link) + accept, leaves_by(uplink.link) + accept)
    old = [nft.delete_rule(chain, rule.handle) for rule in rules if rule.is_marked(mark)]
    nft.commit(channel, [*old, *(nft.insert_rule(chain, rule, mark) for rule in added)])


def _is_open(rules: Sequence[nft.Rule], mark: str) -> bool:
    return sum(rule.is_marked(mark) for rule in rules) == 2


def is_let_through(channel: Channel, router: Router) -> bool:
    """By all that let themselves be changed."""
    if router.uplink is not None and not legacy.is_let_through(router.uplink.link):
        return False
    owned = nft.owned_tables(channel)
    mark = table_of(router.id)
    return all(
        _is_open(rules, mark) for chain, rules in _dropping(channel) if (chain.family, chain.table) not in owned
    )


def remove_forward_accept(channel: Channel, router_id: str, link: str) -> None:
    """Also from chains whose policy is another one by now."""
    legacy.forget(link)
    for chain, rules in _forwarding(channel):
        ours = [rule for rule in rules if rule.is_marked(table_of(router_id))]
        nft.commit(channel, [nft.delete_rule(chain, rule.handle) for rule in ours])


def _forwarding(channel: Channel) -> Iterator[tuple[nft.Chain, list[nft.Rule]]]:
    for chain in nft.base_chains(channel):
        if chain.hook == nft.FORWARD and chain.family in nft.FAMILIES and not chain.table.startswith("orchestra-"):
            yield chain, nft.rules(channel, chain)


def _dropping(channel: Channel) -> Iterator[tuple[nft.Chain, list[nft.Rule]]]:
    """By policy, or by a last rule that refuses everything."""
    for chain, rules in _forwarding(channel):
        if chain.policy == DROP or (rules and rules[-1].refuses_everything()):
            yield chain, rules
