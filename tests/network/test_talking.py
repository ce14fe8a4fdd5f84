"""Who talks to whom, as the kernel has it."""

from __future__ import annotations

import socket

import pytest
from network_world import World

from orchestra.network.inside import socket_in
from orchestra.network.talking import Talk, talks

pytestmark = pytest.mark.kernel


def test_a_connection_is_told_by_both_ends(world: World) -> None:
    """With the port that was called, and for a while after its end; what goes on within a container is left out."""
    cart, orders = world.plugged(world.made(1), "cart", "orders")
    pins = {"cart": cart.net_pin, "orders": orders.net_pin, "gone": f"{cart.net_pin}-gone"}
    server = world.listen(orders.net_pin, "0.0.0.0", 8080)
    with socket_in(cart.net_pin, socket.AF_INET, socket.SOCK_STREAM) as client:
        client.connect((orders.address, 8080))
        accepted, _ = server.accept()
        with socket_in(orders.net_pin, socket.AF_INET, socket.SOCK_STREAM) as within:
            within.connect(("127.0.0.1", 8080))
            assert talks(pins) == {
                "cart": [Talk(orders.address, 8080, inward=False, open=1, recent=0)],
                "orders": [Talk(cart.address, 8080, inward=True, open=1, recent=0)],
            }
    accepted.close()
    assert talks(pins)["cart"] == [Talk(orders.address, 8080, inward=False, open=0, recent=1)]
