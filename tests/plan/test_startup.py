"""The waterfall of a start, and what set its pace."""

from __future__ import annotations

from test_spans import event

from orchestra.plan.startup import waterfall

ASKED = event(100.0, "asked", "", text="up was asked for", do="up")
DB, CART, WEB = "shop-db-1", "shop-cart-1", "shop-web-1"
TOLD = [
    ASKED,
    event(100.1, "create", DB, took="0.05"),
    event(100.1, "create", CART, took="0.05"),
    event(100.1, "create", WEB, took="0.05"),
    event(100.11, "hold", CART, on="db", reason="db is not started yet"),
    event(100.15, "start", DB, took="0.04", health="starting"),
    event(100.16, "start", WEB, took="0.04", health=""),
    event(100.16, "hold", CART, on="db", reason="db is not healthy yet (starting)"),
    event(101.0, "health_status: healthy", DB, first="100.2", said="HTTP 200"),
    event(101.1, "start", CART, took="0.05", health="starting"),
    event(101.4, "health_status: healthy", CART, first="101.12", said="ok"),
    event(150.0, "health_status: unhealthy", CART, first="101.12", said="no"),
]


def test_each_container_has_a_lane_of_joined_segments():
    """Made, waited with its reason, started, checked; what happens after it was ready is another story."""
    begin, end, lanes, critical = waterfall(TOLD, 200.0)
    assert (begin, end) == (100.0, 101.4)
    cart = next(lane for lane in lanes if lane["container"] == CART)
    assert [(part["kind"], part["on"]) for part in cart["segments"]] == [
        ("waiting", ""),
        ("making", ""),
        ("waiting", ""),
        ("waiting", "db"),
        ("waiting", "db"),
        ("starting", ""),
        ("checking", ""),
    ]
    assert (cart["first_probe"], cart["ready"]) == (101.12, 101.4)
    assert [lane["container"] for lane in lanes] == [DB, WEB, CART]
    assert critical == [DB, CART]
    assert [lane["critical"] for lane in lanes] == [True, False, True]


def test_what_is_not_ready_yet_reaches_to_now():
    """The end is not known, and who is not ready is what everybody waits for."""
    _, end, lanes, critical = waterfall(TOLD[:8], 130.0)
    assert end is None
    assert critical == [DB, CART]
    assert next(lane for lane in lanes if lane["container"] == DB)["segments"][-1]["end"] == 130.0


def test_a_job_is_ready_when_it_has_ended_well():
    """What waits for its completion comes after it on the way."""
    told = [
        ASKED,
        event(100.1, "create", "shop-job-1"),
        event(100.2, "start", "shop-job-1", health="", job="yes"),
        event(100.1, "create", WEB),
        event(100.21, "hold", WEB, on="job", reason="job has not completed yet"),
        event(103.0, "die", "shop-job-1", exitCode="0", then="exited"),
        event(103.1, "start", WEB, health=""),
    ]
    _, end, lanes, critical = waterfall(told, 110.0)
    assert end == 103.1
    assert next(lane["ready"] for lane in lanes if lane["service"] == "job") == 103.0
    assert critical == ["shop-job-1", WEB]


def test_what_ended_badly_or_was_taken_away_is_not_awaited_for_ever():
    """It has failed, its lane ends there, and the start is over; a new run has a new chance."""
    told = [
        ASKED,
        event(100.1, "create", DB),
        event(100.1, "create", CART),
        event(100.1, "create", WEB),
        event(100.2, "start", DB, health="starting"),
        event(101.0, "die", DB, how="exit code 1", exitCode="1", then="dead"),
        event(100.2, "start", CART, health="starting"),
        event(102.0, "health_status: unhealthy", CART, said="refused"),
        event(102.5, "stop", CART),
        event(103.0, "die", CART, how="killed by SIGTERM", exitCode="143", then="stopped"),
        event(103.1, "destroy", CART),
        event(100.2, "start", WEB, health=""),
    ]
    _, end, lanes, _ = waterfall(told, 200.0)
    assert end == 103.1
    assert {lane["service"]: (lane["ready"], lane["ended"], lane["how"]) for lane in lanes} == {
        "db": (None, 101.0, "exit code 1"),
        "cart": (None, 103.1, "taken away"),
        "web": (100.2, None, ""),
    }
    _, end, lanes, _ = waterfall([*told, event(110.0, "start", DB, health="starting")], 200.0)
    assert end is None
    assert next(lane["ended"] for lane in lanes if lane["service"] == "db") is None


def test_nothing_is_no_start():
    """No lanes, no path."""
    assert waterfall([], 5.0) == (5.0, None, [], [])
