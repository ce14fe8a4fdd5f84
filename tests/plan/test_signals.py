"""Signals by name and number."""

from __future__ import annotations

import signal

import pytest

from orchestra.errors import OrchestraError
from orchestra.plan.signals import number_of
from orchestra.stack.process import stop_signal


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("SIGTERM", 15),
        ("hup", 1),
        ("9", 9),
        ("SIGRTMIN", signal.SIGRTMIN),
        ("RTMIN+3", signal.SIGRTMIN + 3),
        ("sigrtmax-2", signal.SIGRTMAX - 2),
        ("RTMAX", signal.SIGRTMAX),
    ],
)
def test_a_signal_has_a_number(name: str, number: int) -> None:
    """However people write it."""
    assert number_of(name) == number


@pytest.mark.parametrize("name", ["", "0", "99", "FOO", "RTMIN-1", "RTMAX+1", "RTMIN+99", "RTMIN+"])
def test_what_is_no_signal_is_refused(name: str) -> None:
    """With the word."""
    with pytest.raises(OrchestraError, match="is no signal"):
        number_of(name)


@pytest.mark.parametrize("number", sorted(signal.valid_signals()))
def test_whatever_a_stack_file_may_say_can_be_sent(number: int) -> None:
    """A stop that does not know its signal would never come to its end."""
    name = stop_signal(str(int(number)))
    assert name is not None
    assert number_of(name) == number
