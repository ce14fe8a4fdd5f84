"""Capability names and sets, and giving them up (capabilities(7))."""

from __future__ import annotations

from collections.abc import Iterable

from orchestra.plan.defaults import ALL_CAPABILITIES

from . import syscalls as s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestra.wire.spec import Capabilities

_NUMBERS = {name: number for number, name in enumerate(ALL_CAPABILITIES)}
_LAST = 63


def mask(names: Iterable[str]) -> int:
    """Bits of these; a name that this list does not know is an error, not a smaller set."""
    bits = 0
    for name in names:
        if name not in _NUMBERS:
            raise OSError(22, "no such capability", name)
        bits |= 1 << _NUMBERS[name]
    return bits


def names_in(bits: int) -> list[str]:
    """The capabilities of a mask; one that is newer than this list by its number."""
    known = {number: name for name, number in _NUMBERS.items()}
    return [known.get(number, f"CAP_{number}") for number in range(_LAST + 1) if bits >> number & 1]


def bound(wanted: Capabilities) -> None:
    """Drop everything else from the bounding set. Needs SETPCAP, so it comes before the rest."""
    keep = mask(wanted["bounding"])
    for number in range(_LAST + 1):
        if keep >> number & 1:
            continue
        try:
            s.prctl(s.PR_CAPBSET_DROP, number)
        except OSError:
            return  # past the last capability of this kernel


def settle(wanted: Capabilities, root: bool) -> None:
    """The sets of this process: root has its own again from the bounding set at exec, others only ambient ones."""
    ambient = 0 if root else mask(wanted["ambient"])
    permitted = mask(wanted["permitted"]) & mask(wanted["bounding"]) if root else ambient
    effective = mask(wanted["effective"]) & permitted if root else ambient
    s.capset(effective, permitted, ambient)
    s.prctl(s.PR_CAP_AMBIENT, s.PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(_LAST + 1):
        if ambient >> number & 1:
            s.prctl(s.PR_CAP_AMBIENT, s.PR_CAP_AMBIENT_RAISE, number)
