"""The keeper's loop, with real descriptors."""

from __future__ import annotations

import os

from orchestra.keeper.loop import Loop


def test_a_number_that_is_used_again_gets_no_event_of_the_one_before():
    """Both are ready in one round; the first handler closes the second and opens something else under its number."""
    loop, called = Loop(), []
    first, second, fresh = os.pipe(), os.pipe(), os.pipe()
    os.write(first[1], b"x")
    os.write(second[1], b"x")

    def replace(_: int) -> None:
        called.append("first")
        loop.forget(first[0])
        loop.forget(second[0])
        os.dup2(fresh[0], second[0])
        loop.watch(second[0], lambda _: called.append("fresh"))
        loop.later(0, lambda: setattr(loop, "over", True))

    loop.watch(first[0], replace)
    loop.watch(second[0], lambda _: called.append("second"))
    loop.run()
    for descriptor in (*first, *second, *fresh):
        os.close(descriptor)
    assert called in (["first"], ["second", "first"])
