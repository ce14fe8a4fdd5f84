"""`x-alerts`: rules and receivers from the stack file, and what is never shown of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestra.stack.alerts import BUILT_IN, masked
from orchestra.stack.model import AlertRule, Receiver

SERVICES = "services: {orders: {rootfs: host}, cart: {rootfs: host}}\n"
FULL = """
x-alerts:
  receivers:
    phone: {url: "https://ntfy.sh/${TOPIC}", format: text}
    team: {url: "http://hooks:8080/in?key=abc", headers: {Authorization: "Bearer s3cret"}, timeout: 5s}
    short: https://example.org/x
  rules:
    unhealthy: {for: 2m, services: [cart]}
    oom: false
    panic: {log: [panic, FATAL], services: [orders]}
    busy: {cpu: 90%, for: 5m}
    flapping: {restarts: 5, within: 10m}
"""


def test_rules_come_on_top_of_the_built_in_ones(loaded: Callable[..., Any]) -> None:
    """Changed by name, switched off with false, and new ones."""
    found = loaded(FULL + SERVICES, environ={"TOPIC": "t0p", "HOME": "/"}).stack.alerts
    rules = {rule.name: rule for rule in found.rules}
    assert rules["unhealthy"] == AlertRule("unhealthy", "health", ("cart",), lasting=120.0)
    assert "oom" not in rules
    assert rules["panic"] == AlertRule("panic", "log", ("orders",), words=("panic", "FATAL"))
    assert (rules["busy"].above, rules["busy"].lasting) == (0.9, 300.0)
    assert (rules["flapping"].above, rules["flapping"].within) == (5, 600.0)
    assert rules["crash-loop"] in BUILT_IN
    assert found.receivers[0] == Receiver("phone", "https://ntfy.sh/t0p", "text")
    assert found.receivers[1].headers == {"Authorization": "Bearer s3cret"}
    assert found.receivers[1].timeout == 5.0
    assert found.receivers[2].url == "https://example.org/x"


def test_secrets_of_receivers_are_not_shown(loaded: Callable[..., Any]) -> None:
    """Only the host is left of an address, and of headers their names."""
    model = loaded(FULL + SERVICES, environ={"TOPIC": "t0p", "HOME": "/"}).model
    shown = str(masked(model, "***"))
    assert "https://ntfy.sh/***" in shown
    assert "'Authorization': '***'" in shown
    for secret in ("t0p", "s3cret", "abc", "org/x"):
        assert secret not in shown
    assert masked({"name": "x"}, "***") == {"name": "x"}


def test_without_the_key_there_is_nobody_to_tell(loaded: Callable[..., Any]) -> None:
    """And the built-in rules."""
    assert loaded(SERVICES).stack.alerts is None


@pytest.mark.parametrize(
    ("alerts", "said"),
    [
        ("{reciever: {}}", "there is no 'reciever' (did you mean 'receivers'?)"),
        ("{receivers: {a: ftp://x/s3cret}}", "receivers.a.url: this is not an address that begins with http://"),
        ("{receivers: {a: {url: 'http://x', formt: text}}}", "there is no 'formt' (did you mean 'format'?)"),
        ("{receivers: {a: {url: 'http://x', format: xml}}}", "'xml' is neither json nor text"),
        ("{receivers: {a: {url: 'http://x', timeout: 5m}}}", "at most 60 s"),
        ("{rules: {a: {for: 5s}}}", "a rule is about one of health, ended"),
        ("{rules: {a: {cpu: 150%}}}", "'150%' is not a part of the limit"),
        ("{rules: {a: {log: x, services: [ordrs]}}}", "there is no service 'ordrs' (did you mean 'orders'?)"),
        ("{rules: {a: {restarts: 0}}}", "0 is out of range"),
        ("{rules: {oom: 5}}", "5 is neither a mapping nor false"),
        ("[]", "a list is not a mapping of receivers and rules"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(wrong: Callable[..., list[str]], alerts: str, said: str) -> None:
    """And never with an address."""
    (line,) = wrong(f"x-alerts: {alerts}\n{SERVICES}")
    assert "stack.yml:1:" in line
    assert said in line
    assert "s3cret" not in line
