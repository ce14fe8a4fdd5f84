"""A long range of ports is led to another one by rules that cover it exactly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestra.network.shifting import shifts

PORTS = st.integers(1, 65535)


@given(PORTS, PORTS, st.integers(0, 65535))
def test_each_port_is_led_to_its_own(first: int, target: int, more: int) -> None:
    """As the kernel reckons it, and within 16 bits; each port has one rule."""
    count = 1 + more % (65536 - max(first, target))
    rules = list(shifts(first, target, count))
    assert len(rules) <= 16
    called = first
    for begin, end, low, high in rules:
        assert begin == called <= end
        assert 0 <= low <= high <= 65535
        for port in {begin, (begin + end) // 2, end}:
            assert low + port % (high - low + 1) == target + port - first
        called = end + 1
    assert called == first + count
