"""When alerts fire and when they are over."""

from __future__ import annotations

from orchestra.plan.alerting import Happening, Subject, Watch, described, look, relevant
from orchestra.stack.alerts import BUILT_IN
from orchestra.stack.model import AlertRule

SICK = AlertRule("unhealthy", "health", lasting=30.0)
WELL = Subject("cart-1", "cart")


def sick(since: float) -> Subject:
    return Subject("cart-1", "cart", "unhealthy", since, "connection refused")


def test_it_fires_once_and_is_over_once():
    """After its time, not before; not again while it lasts; then it is resolved."""
    watch, told = Watch(), []
    for now, subject in [
        (10, WELL),
        (20, sick(20)),
        (49, sick(20)),
        (50, sick(20)),
        (80, sick(20)),
        (90, WELL),
        (95, WELL),
    ]:
        watch, began, over = look([SICK], [subject], [], watch, now)
        told += [(now, "began", one["text"]) for one in began] + [(now, "over", one["resolved"]) for one in over]
    assert told == [(50, "began", "cart-1 is unhealthy: connection refused"), (90, "over", 90)]


def test_what_comes_back_in_between_begins_anew():
    """Ten seconds well: the thirty count from the next time."""
    watch = Watch()
    for now, subject in [(20, sick(20)), (40, WELL), (45, sick(45)), (70, sick(45))]:
        watch, began, _ = look([SICK], [subject], [], watch, now)
        assert not began


def test_who_is_gone_is_no_alert():
    """A container that was removed while it was sick."""
    watch, began, _ = look([SICK], [sick(0)], [], Watch(), 100)
    assert began
    watch, _, over = look([SICK], [], [], watch, 101)
    assert [one["container"] for one in over] == ["cart-1"]
    assert not watch.firing
    assert not watch.pending


def test_an_earlier_supervisors_alert_is_neither_told_again_nor_forgotten():
    """What was firing goes on, and is over when it is."""
    watch, (alert,), _ = look([SICK], [sick(0)], [], Watch(), 100)
    again, began, over = look([SICK], [sick(0)], [], Watch(firing=watch.firing), 200)
    assert (began, over) == ([], [])
    _, _, over = look([SICK], [WELL], [], again, 210)
    assert [one["id"] for one in over] == [alert["id"]]


def test_restarts_are_counted_within_a_time():
    """Three within five minutes are a crash loop, three within an hour are not; over when they are long ago."""
    rule = AlertRule("crash-loop", "restarts", above=3, within=300.0)
    slow = [Happening(at, "restarts", "cart-1", "cart", "exit code 1") for at in (0, 200, 400)]
    watch, began, _ = look([rule], [WELL], slow, Watch(), 401)
    assert not began
    quick = [*slow, Happening(410, "restarts", "cart-1", "cart", "exit code 3")]
    watch, (alert,), _ = look([rule], [WELL], quick, watch, 411)
    assert alert["text"] == "cart-1 was restarted 3 times within 5 min: exit code 3"
    assert relevant(quick, [rule], 720) == []
    _, _, over = look([rule], [WELL], [], watch, 720)
    assert over


def test_a_log_rule_looks_for_its_words_in_its_services():
    """As they are written; other services and lines are none of its business."""
    rule = AlertRule("panic", "log", services=("cart",), words=("panic:", "FATAL"))
    told = [
        Happening(5, "log", "cart-1", "cart", "panic: index out of range"),
        Happening(5, "log", "web-1", "web", "FATAL"),
    ]
    _, began, _ = look([rule], [WELL, Subject("web-1", "web")], told, Watch(), 6)
    assert [one["text"] for one in began] == ["cart-1 wrote: panic: index out of range"]
    assert look([rule], [WELL], [Happening(5, "log", "cart-1", "cart", "all is well")], Watch(), 6)[1] == []


def test_use_is_measured_against_the_limit():
    """For as long as the rule says; without a limit there is nothing to exceed."""
    rule = AlertRule("memory", "memory", above=0.9, lasting=60.0)
    full = Subject("cart-1", "cart", shares={"memory": 0.97})
    watch, began, _ = look([rule], [full], [], Watch(), 0)
    assert not began
    _, (alert,), _ = look([rule], [full], [], watch, 60)
    assert alert["text"] == "cart-1 uses 97% of its memory limit"
    assert look([rule], [WELL], [], watch, 60)[1] == []


def test_every_rule_has_a_sentence():
    """For the list of rules."""
    texts = [described(rule, True)["text"] for rule in (*BUILT_IN, AlertRule("x", "log", words=("a", "b")))]
    assert "a container is unhealthy for 30 s" in texts
    assert 'a container writes "a" or "b"' in texts
    assert len(set(texts)) == len(texts)
