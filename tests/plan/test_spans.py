"""Health over time, read from events alone."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestra.plan import spans
from orchestra.plan.spans import by_container, by_service, lasted, outages, share_well
from orchestra.plan.story import story
from orchestra.wire.api import Event


def event(at: float, action: str, container: str = "shop-cart-1", text: str = "", **about: str) -> Event:
    service = container.split("-")[1] if container else ""
    return {
        "id": int(at * 1e6),
        "time": at,
        "action": action,
        "service": service,
        "container": container,
        "text": text,
        "attributes": about,
    }


SICK = event(20, "health_status: unhealthy", said="connection refused", text="cart is unhealthy: connection refused")
WELL = event(41, "health_status: healthy", said="HTTP 200")
LIFE = [
    event(10, "create"),
    event(11, "start", health="starting"),
    event(12, "health_status: healthy", said="HTTP 200"),
    SICK,
    event(30, "die", how="exit code 1", then="restarting"),
    event(31, "start", health="starting", restarts="1"),
    WELL,
]


def shown(line: list[Any]) -> list[tuple[float, float, str]]:
    return [(span["start"], span["end"], span["verdict"]) for span in line]


def test_events_become_spans_without_a_gap():
    """From before it was there to now; what goes on is open."""
    line = by_container(LIFE, 0, 50)["shop-cart-1"]
    assert shown(line) == [
        (0, 10, "absent"),
        (10, 11, "waiting"),
        (11, 12, "starting"),
        (12, 20, "healthy"),
        (20, 30, "unhealthy"),
        (30, 31, "restarting"),
        (31, 41, "starting"),
        (41, 50, "healthy"),
    ]
    assert [span["open"] for span in line] == [False] * 7 + [True]
    assert line[4]["text"] == "connection refused"


def test_an_outage_lasts_until_it_is_well_again():
    """Sick, ended, started, healthy: one outage of 21 seconds with both reasons and one restart."""
    told = story(LIFE, 0, 50, None)
    (one,) = told["outages"]
    assert (one["start"], one["end"], one["verdict"], one["restarts"], one["open"]) == (20, 41, "unhealthy", 1, False)
    assert one["text"] == "unhealthy (21 s): connection refused; exit code 1; restarted once"
    assert one["cause"] == "cart is unhealthy: connection refused"
    assert told["share"]["cart"] == 17 / 38


def test_a_window_knows_what_was_before_it():
    """The last turn before the window is the state at its beginning."""
    assert shown(by_container(LIFE, 25, 28)["shop-cart-1"]) == [(25, 28, "unhealthy")]


def test_who_is_stopped_by_hand_has_no_outage():
    """Nor has a restart that was asked for."""
    asked = [
        event(1, "start", health=""),
        event(5, "stop", cause="asked to"),
        event(6, "die", then="stopped"),
        event(9, "start", health=""),
    ]
    line = by_container(asked, 0, 20)["shop-cart-1"]
    assert [span["verdict"] for span in line] == ["absent", "running", "stopped", "running"]
    assert outages("cart", line, ()) == []


def test_who_is_paused_by_hand_is_neither_well_nor_in_an_outage():
    """And is afterwards what it was told to be when it went on."""
    told = [SICK, event(25, "pause"), event(30, "unpause", health="unhealthy"), event(32, "health_status: healthy")]
    line = by_container(told, 20, 40)["shop-cart-1"]
    assert shown(line) == [(20, 25, "unhealthy"), (25, 30, "paused"), (30, 32, "unhealthy"), (32, 40, "healthy")]
    found = outages("cart", [*line[:2]], ())
    assert [(one["start"], one["end"], one["open"]) for one in found] == [(20, 25, False)]
    assert shown(by_container([event(1, "pause"), event(5, "unpause", health="")], 2, 9)["shop-cart-1"]) == [
        (2, 5, "paused"),
        (5, 9, "running"),
    ]


def test_a_stop_for_health_is_part_of_the_outage():
    """It is no person's wish; one by hand ends it."""
    told = [SICK, event(22, "stop", cause="it is unhealthy (refused)"), event(23, "die", then="restarting")]
    line = by_container([*told, event(24, "start", health="starting"), event(26, "stop", cause="asked to")], 15, 30)
    (one,) = outages("cart", line["shop-cart-1"], ())
    assert (one["start"], one["end"], one["open"]) == (20, 26, False)


def test_a_crash_loop_is_one_outage():
    """Each of its runs is well for a moment, which ends nothing."""
    told = [event(0, "start", health="")]
    for at in (20, 22, 25):
        told += [
            event(at, "die", how="exit code 1", then="restarting"),
            event(at + 1, "start", health="", restarts="1"),
        ]
    line = by_container(told, 0, 60)["shop-cart-1"]
    (one,) = outages("cart", line, [21, 23, 26])
    assert (one["start"], one["end"], one["restarts"]) == (20, 26, 3)
    assert share_well(line, [one]) == 54 / 60


def test_the_worst_replica_speaks_for_the_service():
    """And a replica that is not there says nothing."""
    other = [event(11, "start", "shop-cart-2", health=""), event(35, "destroy", "shop-cart-2")]
    line = by_service(by_container([*LIFE, *other], 0, 50), {"shop-cart-1": "cart", "shop-cart-2": "cart"})["cart"]
    assert (20, 30, "unhealthy") in shown(line)
    assert shown(line)[-1] == (41, 50, "healthy")


def test_a_new_version_that_fails_is_no_outage_of_its_service():
    """As long as the old one serves; who has taken over counts from then on, and the one before does not any more."""
    old, new, third = "shop-cart-1", "shop-cart-2", "shop-cart-3"
    told = [
        event(1, "start", old, health=""),
        event(10, "create", new, apart="1"),
        event(11, "start", new, health="starting", apart="1"),
        event(15, "health_status: unhealthy", new, said="refused", apart="1"),
        event(16, "stop", new, cause="it is not wanted any more"),
        event(17, "die", new, then="stopped"),
        event(18, "destroy", new),
        event(20, "create", third, apart="1"),
        event(21, "start", third, health="", apart="1"),
        event(22, "replace", third, health=""),
        event(25, "stop", old, cause="another one has taken over", apart="1"),
        event(26, "destroy", old),
        event(30, "die", third, how="exit code 1", then="restarting"),
    ]
    line = by_service(by_container(told, 5, 40), dict.fromkeys((old, new, third), "cart"))["cart"]
    assert shown(line) == [(5, 30, "running"), (30, 40, "restarting")]


def test_what_nobody_saw_is_unknown():
    """While supervisor or machine were away; not for what had been stopped."""
    away = event(45, "supervisor", "", since="43", until="45")
    stopped = [event(5, "start", "shop-job-1", health=""), event(6, "die", "shop-job-1", then="exited")]
    lines = by_container([*stopped, *LIFE, away], 40, 50)
    assert shown(lines["shop-cart-1"]) == [
        (40, 41, "starting"),
        (41, 43, "healthy"),
        (43, 45, "unknown"),
        (45, 50, "healthy"),
    ]
    assert shown(lines["shop-job-1"]) == [(40, 50, "exited")]


def test_one_offs_are_left_out():
    """`run` starts what no one expects to stay."""
    assert by_container([event(1, "start", "shop-run-1", health="", oneoff="1")], 0, 5) == {}


TURNS = st.sampled_from([(one["action"], one["attributes"]) for one in LIFE] + [("destroy", {})])


@given(st.lists(st.tuples(st.integers(0, 100), TURNS), max_size=30), st.integers(0, 90))
def test_spans_always_join(drawn: list[tuple[int, tuple[str, dict[str, str]]]], start: int):
    """Whatever happened: end to end, neighbours differ, and outages lie within."""
    told = [event(at, action, **about) for at, (action, about) in sorted(drawn, key=lambda one: one[0])]
    for line in by_container(told, start, 100).values():
        assert line[0]["start"] == start
        assert line[-1]["end"] == 100
        for one, another in itertools.pairwise(line):
            assert one["end"] == another["start"]
            assert one["verdict"] != another["verdict"]
        found = outages("cart", line, ())
        assert all(start <= one["start"] <= one["end"] <= 100 for one in found)
        share = share_well(line, found)
        assert share is None or 0 <= share <= 1


def test_lengths_are_put_as_people_do():
    """One decimal below ten seconds, two units above a minute."""
    assert [lasted(x) for x in (0.42, 21, 60, 185, 7800)] == ["0.4 s", "21 s", "1 min", "3 min 5 s", "2 h 10 min"]
    assert set(spans.WELL) | set(spans.BAD) | set(spans.ON_THE_WAY) < set(spans.WORST_FIRST)
