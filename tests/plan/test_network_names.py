"""Names within a network."""

from __future__ import annotations

import re

import pytest

from orchestra.plan.names import lookup, own_hostname, reverse, reversed_address

TABLE = {"web": ("10.213.0.2", "10.213.0.3"), "web.store": ("10.213.0.2",), "sleeping": ()}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("web", ("10.213.0.2", "10.213.0.3")),
        ("WEB.", ("10.213.0.2", "10.213.0.3")),
        ("web.store", ("10.213.0.2",)),
        ("sleeping", ()),
        ("example.org", None),
        ("", None),
    ],
)
def test_a_name_is_found_as_it_is_asked(asked: str, found: tuple[str, ...] | None) -> None:
    """Whatever its case; a name without an address now is not an unknown one."""
    assert lookup(TABLE, asked) == found


def test_an_address_leads_to_the_first_of_its_names() -> None:
    """For PTR questions; an address of elsewhere leads nowhere."""
    assert reverse(TABLE, "2.0.213.10.in-addr.arpa.") == "web"
    assert reverse(TABLE, "9.0.213.10.in-addr.arpa") is None
    assert reverse(TABLE, "web") is None


@pytest.mark.parametrize(
    ("asked", "address"),
    [("2.0.213.10.IN-ADDR.ARPA", "10.213.0.2"), ("0.213.10.in-addr.arpa", None), ("web", None)],
)
def test_the_reverse_tree_is_read(asked: str, address: str | None) -> None:
    """Only whole addresses of it."""
    assert reversed_address(asked) == address


def test_a_hostname_of_its_own_is_no_number() -> None:
    """Twelve hex digits, a letter first: the same for one container, another for each of many."""
    names = [own_hostname("machine", "/run", "store", f"store-cart-{replica}") for replica in range(1, 1000)]
    assert all(re.fullmatch("[a-f][0-9a-f]{11}", name) for name in names)
    assert len(set(names)) == len(names)
    assert names[0] == own_hostname("machine", "/run", "store", "store-cart-1")
