"""Who may make programs that run as their owner, or with capabilities of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sketch import service

from orchestra.plan.launch import capabilities, may_set_id
from orchestra.stack.model import Mount, Security

WRITTEN = Mount("bind", "/a", "/srv/a")
READ = Mount("bind", "/b", "/srv/b", read_only=True)
ALLOWED = Mount("bind", "/c", "/srv/c", suid=True)
VOLUME = Mount("volume", "/d", "data")


@pytest.mark.parametrize(
    ("mounts", "privileged", "may"),
    [
        ((), False, True),
        ((READ, VOLUME, Mount("tmpfs", "/t")), False, True),
        ((WRITTEN,), False, False),
        ((ALLOWED, READ), False, True),
        ((ALLOWED, WRITTEN), False, False),
        ((WRITTEN,), True, True),
    ],
)
def test_it_hangs_on_the_writable_binds(mounts: tuple[Mount, ...], privileged: bool, may: bool) -> None:
    """Each of them has to allow it; `privileged` does, too. Capabilities of files go with it."""
    one = replace(service("a"), mounts=mounts, security=Security(privileged=privileged))
    assert may_set_id(one) is may
    assert ("CAP_SETFCAP" in capabilities(one)["bounding"]) is may


@pytest.mark.parametrize(("added", "given"), [("SETFCAP", True), ("ALL", False), ("NET_ADMIN", False)])
def test_a_capability_that_is_asked_for_by_name_is_given(added: str, given: bool) -> None:
    one = replace(service("a"), mounts=(WRITTEN,), security=Security(cap_add=(added,)))
    assert ("CAP_SETFCAP" in capabilities(one)["bounding"]) is given
