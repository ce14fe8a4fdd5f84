"""What the supervisor knows and must not forget: what is wanted, what was seen of each container, what they hold.

Written before anything is made for it in the kernel, so that whoever comes after a crash can name what is there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field
from functools import partial

from ..places import Places
from ..plan.facts import Seen, Wanted
from ..plan.wiring import Publication, Router
from ..stack.model import FileSource, Network, Stack
from ..state.files import ensure_folder, keep_before, read_json, write_json
from ..values import dataclass, replace
from ..wire.codec import decode, encode


@dataclass(frozen=True, slots=True)
class Page:
    """The whole of it, as a value."""

    stack: Stack
    boot: str = ""  # the kernel's boot id that all times belong to
    wanted: Wanted = field(default_factory=Wanted)
    seen: Mapping[str, Seen] = field(default_factory=dict)
    routers: Mapping[str, Router] = field(default_factory=dict)  # network key -> what it is made of
    addresses: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # network key -> container -> address
    ports: Mapping[str, tuple[Publication, ...]] = field(default_factory=dict)  # container -> what it publishes
    bases: Mapping[str, int] = field(default_factory=dict)  # container -> first host id
    files: Mapping[str, FileSource] = field(default_factory=dict)  # "secret/x" and "config/x"
    networks: Mapping[str, Network] = field(default_factory=dict)  # those that were made, as they were made
    guests: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """network key -> container of another stack ("accounts/accounts/accounts-accounts-1") -> address"""


def load_page(places: Places) -> Page:
    """The last page, the one before where that cannot be read, or an empty one. Raises Newer."""
    spoiled = os.path.lexists(places.wanted)
    if (page := read_json(places.wanted, partial(decode, Page))) is not None:
        return page
    return (read_json(_before(places), partial(decode, Page)) if spoiled else None) or empty_page(places)


def _before(places: Places) -> str:
    """The page before the last: what runs is asked of the keeper anyhow, so little is lost with the last one."""
    return f"{places.wanted}.1"


def empty_page(places: Places) -> Page:
    return Page(stack=Stack(places.name, "/", (), {}))


def save_page(places: Places, page: Page, durable: bool) -> None:
    ensure_folder(places.data)
    keep_before(places.wanted, _before(places))
    write_json(places.wanted, encode(page), durable)


def for_this_boot(page: Page, boot: str) -> Page:
    """After a reboot nothing of what was made in the kernel is there; who was stopped by hand stays stopped, but
    for `restart: always` (docker run reference, restart policies)."""
    if page.boot == boot:
        return page
    seen = {
        name: Seen(one.service, one.replica, oneoff=one.oneoff, last_exit=one.last_exit)
        for name, one in page.seen.items()
    }
    targets = {
        name: replace(target, stopped=target.stopped and target.service.restart.policy != "always")
        for name, target in page.wanted.targets.items()
        if not target.oneoff
    }
    return replace(page, boot=boot, seen=seen, guests={}, wanted=replace(page.wanted, targets=targets))
