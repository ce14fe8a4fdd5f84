"""Two services that want the same port, name or address: an error when both are to run, and not before.

Services of one file may be alternatives of which one is chosen by its name or profile, so the file alone cannot be
wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from ..errors import OrchestraError
from ..stack.claims import Claim, claims_of, collide
from ..stack.problems import spell
from .facts import Seen, Target
from .phase import wants_another
from .portranges import PortRange

Holder = tuple[Claim, str, Target]
"""What is claimed, and by which container."""


def rests(target: Target, one: Seen | None) -> bool:
    """Whether it does not run and, as far as is known, will not: stopped, not to be started, or at its end."""
    if target.stopped or target.held:
        return True
    run = one.run if one is not None else None
    if one is None or run is None or run.alive or run.epoch < target.epoch:
        return False
    return target.oneoff or not wants_another(target.service, one, run)


def refuse_clashes(
    targets: Mapping[str, Target],
    seen: Mapping[str, Seen],
    asked: Collection[str],
    places: Mapping[str, str],
    known: Collection[str] | None = None,
) -> None:
    """Raises OrchestraError with every clash of the services that are `asked` for, among them or with others.

    `places`: where in the stack file a claim is made; `known`: the services of that file.
    """
    holders: dict[tuple[str, ...], dict[tuple[str, PortRange | None], Holder]] = {}
    """By where claims meet; the replicas of a service share what they have."""

    def hold(claim: Claim, name: str, target: Target) -> None:
        for place in claim.meeting():
            holders.setdefault(place, {}).setdefault((target.service.name, claim.ports), (claim, name, target))

    for name, target in targets.items():
        if target.service.name not in asked:
            for claim in _claims(target, seen.get(name)):
                hold(claim, name, target)
    lines, hints = [], []
    for name, target in targets.items():
        if target.service.name not in asked:
            continue
        for claim in _claims(target, seen.get(name)):
            before = (held for place in claim.meeting() for held in holders.get(place, {}).values())
            rival = next((held for held in before if _is_rival(claim, target, held)), None)
            if rival is not None:
                what, hint = _told(claim, target, rival, asked, places, known)
                lines.append(what)
                hints.append(hint)
            hold(claim, name, target)
    if lines:
        raise OrchestraError("\n".join(dict.fromkeys(lines)), hints[0])


def _claims(target: Target, one: Seen | None) -> Iterator[Claim]:
    over = rests(target, one)
    return (claim for claim in claims_of(target.service) if claim.when_made or not over)


def _is_rival(claim: Claim, target: Target, held: Holder) -> bool:
    other, _, its = held
    return its.service.name != target.service.name and collide(claim, other)


def _told(
    claim: Claim,
    target: Target,
    rival: Holder,
    asked: Collection[str],
    places: Mapping[str, str],
    known: Collection[str] | None,
) -> tuple[str, str]:
    """The line, and what can be done."""
    _, name, its = rival
    mine, other = target.service.name, its.service.name
    if other in asked:
        path = spell(claim.path)
        where = f"{places[path]}: " if path in places else ""
        return f"{where}{mine} and {other} both want {claim.what}", f"ask for one of them: orchestra up {other}"
    if known is not None and other not in known:
        return (
            f"cannot start {mine}: {claim.what} is used by {name}, which is of no service in the stack file any more",
            "take that away with --remove-orphans, or choose another",
        )
    end = "orchestra rm -s" if claim.when_made else "orchestra stop"
    return f"cannot start {mine}: {claim.what} is used by {other} ({name})", f"{end} {other}, or choose another"
