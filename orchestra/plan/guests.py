"""Containers of services that other stacks own, as people see them in the stack that uses them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..stack.model import Use
from ..wire.api import Row, UseRow
from . import sharing
from .facts import Facts, Wanted


def guest_rows(
    wanted: Wanted, facts: Facts, rows: Mapping[str, Row], addresses: Mapping[str, Mapping[str, str]], wall: float
) -> Iterator[Row]:
    """`rows`: the owners' own, by guest; `addresses`: network -> guest -> address in it."""
    for use in _once(wanted):
        shared = facts.shared.get(sharing.key(use))
        if sharing.key(use) in facts.leases and shared is not None and shared.away:
            yield _absent(use, shared.away, wall)
        for container in shared.guests if shared is not None else ():
            guest = sharing.guest_name(sharing.key(use), container)
            if guest in rows:
                here = {network: held[guest] for network, held in addresses.items() if guest in held}
                networks = [wanted.networks[key].name for key in here if key in wanted.networks]
                yield {
                    **rows[guest],
                    "service": use.name,
                    "addresses": here,
                    "networks": networks,
                    "owner": use.stack,
                }


def use_rows(wanted: Wanted, facts: Facts) -> list[UseRow]:
    return [_use_row(use, facts) for _, use in sorted(wanted.uses.items())]


def _use_row(use: Use, facts: Facts) -> UseRow:
    reason, _ = sharing.unmet(use, "service_started", facts)
    shared = facts.shared.get(sharing.key(use))
    away = shared is not None and bool(shared.away)
    return {
        "service": use.name,
        "owner": use.stack,
        "owned": use.service,
        "file": use.file,
        "state": "joined" if reason is None else "away" if away else "joining",
        "why": f"{use.name} {reason}" if reason else "",
    }


def _once(wanted: Wanted) -> Iterable[Use]:
    """A service that is used under two names shows under the first one."""
    found: dict[str, Use] = {}
    for use in sharing.in_force(wanted).values():
        found.setdefault(sharing.key(use), use)
    return found.values()


def _absent(use: Use, away: str, wall: float) -> Row:
    """Stands for what its owner does not run."""
    return {
        "name": f"{use.stack}-{use.service}",
        "service": use.name,
        "replica": 1,
        "oneoff": False,
        "state": "waiting",
        "health": "",
        "health_since": None,
        "health_text": "",
        "pid": None,
        "run": 0,
        "restarts": 0,
        "created": wall,
        "started": None,
        "ended": None,
        "exit_code": None,
        "last_exit": "",
        "why": f"waiting: {away} (orchestra up {use.file} starts it)",
        "waits_for": [],
        "ports": [],
        "addresses": {},
        "networks": [],
        "mounts": [],
        "image": "",
        "command": "",
        "logs": "",
        "labels": {},
        "owner": use.stack,
    }
