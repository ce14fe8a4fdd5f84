"""Folders of the host that services mount and that are not there yet."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ..errors import OrchestraError
from ..plan.facts import Wanted
from ..stack.model import Mount, Service
from .book import Page


def make_missing(page: Page, wanted: Wanted) -> None:
    """`create_host_path` (Compose Specification, 05-services.md, volumes), for sources that are new to the stack. One
    that it had before is left missing: it may have been a file, and a folder would shut out what is to come back.
    Raises OrchestraError."""
    before = [one.service for one in page.seen.values()]
    before += [target.service for target in page.wanted.targets.values()]
    known = {mount.source for _, mount in _binds(before)}
    for service, mount in _binds(target.service for target in wanted.targets.values()):
        if mount.source in known or not mount.create_host_path or os.path.lexists(mount.source):
            continue
        try:
            os.makedirs(mount.source, 0o755, exist_ok=True)
        except OSError as error:
            what = f"cannot make {mount.source}, which {service.name} mounts: {error.strerror}"
            raise OrchestraError(what, "make it, or correct `volumes:`") from None


def _binds(services: Iterable[Service]) -> Iterator[tuple[Service, Mount]]:
    return ((service, mount) for service in services for mount in service.mounts if mount.type == "bind")
