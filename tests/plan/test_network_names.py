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


def test_an_address_leads_to_one_of_its_names() -> None:
    """For PTR questions; an address of elsewhere leads nowhere."""
    assert reverse(TABLE, "10.213.0.2", "store") == "web"
    assert reverse(TABLE, "10.213.0.9", "store") is None


@pytest.mark.parametrize("alias", ["db", "first"])
def test_a_services_own_name_comes_before_its_aliases(alias: str) -> None:
    """Also where another service has the alias too, or it is another service's own name."""
    first, second = "10.213.0.2", "10.213.0.3"
    table = {"t-first-1": [first], "first": [first], "first.T": [first], alias: [first, second]}
    table |= {"t-second-1": [second], "second": [second], "second.t": [second], "first.t": [first]}
    assert reverse(table, second, "T") == "second"
    assert reverse(table, first, "T") == "first"


def test_a_container_that_does_not_serve_has_its_own_name() -> None:
    """One beside the service: the old one of a replacement, a one-off."""
    table = {"t-web-1": ["10.213.0.2"], "t-web-2": ["10.213.0.3"], "web": ["10.213.0.3"], "web.t": ["10.213.0.3"]}
    assert reverse(table, "10.213.0.2", "t") == "t-web-1"


@pytest.mark.parametrize(
    ("asked", "address"),
    [
        ("2.0.213.10.IN-ADDR.ARPA", "10.213.0.2"),
        ("0.213.10.in-addr.arpa", None),
        ("a.0.213.10.in-addr.arpa", None),
        ("256.0.213.10.in-addr.arpa", None),
        ("02.0.213.10.in-addr.arpa", None),
        ("².0.213.10.in-addr.arpa", None),
        ("web", None),
    ],
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
