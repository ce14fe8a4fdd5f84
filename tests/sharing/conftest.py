"""A town for each test, taken down and searched for leftovers afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .town import Town


@pytest.fixture
def town() -> Iterator[Town]:
    town = Town()
    yield town
    town.close()


@pytest.fixture(scope="module")
def sites() -> Iterator[Town]:
    """Both sites up, for the tests of a module that only look."""
    town = Town()
    try:
        town.start(*lived_in(town))
        yield town
    finally:
        town.close()


def lived_in(town: Town) -> list:
    """The files of both sites; `a` gives accounts another name, too."""
    from whole.stage import idle

    from .town import server, uses

    town.own()
    a = town.write(
        {
            "name": "a",
            "services": {
                "accounts": uses(networks={"default": {"aliases": ["members", "id.internal"]}}),
                "front": idle(depends_on={"accounts": {"condition": "service_healthy"}}),
                "router": idle(cap_add=["NET_ADMIN", "NET_RAW"]),
                "back": server("back of a"),
            },
        },
        "a/a.yml",
    )
    return [a, town.site("b", back=server("back of b"))]
