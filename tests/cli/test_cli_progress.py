"""The words and the look of progress, without any terminal."""

from __future__ import annotations

import io
import re

import pytest
from fake_supervisor import row

from orchestra.cli import progress as module
from orchestra.cli.options import Asked
from orchestra.cli.progress import Live, Plain
from orchestra.cli.steps import step


@pytest.mark.parametrize(
    ("fields", "goal", "word", "mark"),
    [
        ({"state": "created"}, "running", "Created", "working"),
        ({"state": "created"}, "created", "Created", "done"),
        ({"state": "waiting", "why": "waiting: cart is not healthy yet"}, "running", "Waiting", "working"),
        ({"state": "waiting", "why": "waiting: it is being made"}, "running", "Creating", "working"),
        ({"state": "waiting", "why": "waiting: network x is not there yet"}, "running", "Creating", "working"),
        ({"state": "waiting", "why": "waiting: it is being started"}, "running", "Starting", "working"),
        ({"state": "waiting", "why": "exit code 143"}, "running", "Starting", "working"),
        ({}, "running", "Started", "done"),
        ({"health": "starting"}, "running", "Started", "done"),
        ({"health": "starting"}, "healthy", "Starting", "working"),
        ({"health": "healthy"}, "healthy", "Healthy", "done"),
        ({"health": "unhealthy"}, "running", "Unhealthy", "failed"),
        ({"state": "exited", "exit_code": 0}, "healthy", "Exited", "done"),
        ({"state": "exited", "exit_code": 3, "last_exit": "exit code 3"}, "healthy", "Failed", "failed"),
        ({"state": "dead", "exit_code": None}, "running", "Failed", "failed"),
        ({"state": "restarting"}, "running", "Restarting", "failed"),
        ({}, "stopped", "Stopping", "working"),
        ({"state": "exited", "exit_code": 137}, "stopped", "Stopped", "done"),
        ({"state": "exited", "exit_code": 0}, "removed", "Stopped", "working"),
        ({"state": "exited", "gone": True}, "removed", "Removed", "done"),
        ({"state": "exited", "why": "going: could not be removed: device busy"}, "removed", "Stopped", "failed"),
        ({"state": "stopping"}, "killed", "Killing", "working"),
    ],
)
def test_a_row_is_a_step_towards_the_goal(fields, goal, word, mark):
    """The same container is done for one command and under way for another."""
    found = step(row("cart", **fields), goal)
    assert (found.word, found.mark) == (word, mark)


@pytest.mark.parametrize(
    ("fields", "remark"),
    [
        ({"health": "unhealthy", "why": "unhealthy for 3 s: refused", "health_text": "refused"}, "refused"),
        ({"state": "restarting", "why": "restarting in 0.2 s (2nd): exit code 1"}, "in 0.2 s (2nd): exit code 1"),
    ],
)
def test_a_remark_does_not_say_the_word_again(fields, remark):
    """The state stands in front of it."""
    assert step(row("cart", **fields), "running").remark == remark


def test_what_ran_before_and_is_left_alone_is_said_to_be_running():
    """As docker compose tells what `up` has started from what was there."""
    out = io.StringIO()
    plain = Plain("up", "running", out=out)
    for one in (row("a"), row("a"), row("b", state="created"), row("b")):
        plain.row(one)
    assert out.getvalue().split("\n")[:-1] == [
        " Container store-a-1  Running",
        " Container store-b-1  Created",
        " Container store-b-1  Started",
    ]


def test_a_state_is_told_once():
    """Neither another cause nor the seconds that are left are worth a line: `ps` and `why` have them."""
    out = io.StringIO()
    show = Plain("stop", "stopped", out=out)
    for left in range(10, 0, -1):
        show.row(row("cart", state="stopping", why=f"stopping: has {left} s left"))
    show.row(row("cart", state="exited", exit_code=0))
    assert out.getvalue() == (" Container store-cart-1  Stopping (has 10 s left)\n Container store-cart-1  Stopped\n")
    up = Plain("up", "running", out=(out := io.StringIO()))
    for cause in ("cart is not healthy yet", "cart is not healthy yet", "cart is being replaced"):
        up.row(row("web", state="waiting", why=f"waiting: {cause}"))
    assert out.getvalue() == " Container store-web-1  Waiting (cart is not healthy yet)\n"


@pytest.mark.parametrize(("rows", "shown"), [(24, 12), (14, 12), (13, 10), (10, 7), (4, 1)])
def test_a_screen_that_is_too_low_shows_what_still_moves(monkeypatch, rows, shown):
    """The rest is a number, and everything fits."""
    monkeypatch.setattr(module, "_size", lambda _: module.os.terminal_size((70, rows)))
    out = io.StringIO()
    show = Live("up", "running", 12, out)
    for number in range(1, 13):
        show.row(row("cart", number, state="waiting" if number > 11 else "running", why="waiting: x" * 20))
    show.draw()
    lines = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", out.getvalue()).splitlines()
    assert lines[0] == "[+] up 11/12"
    assert len(lines) < rows
    assert max(map(len, lines)) <= 70
    assert any("store-cart-12" in line for line in lines)
    assert sum("Container" in line for line in lines) == shown
    assert (f"… {12 - shown} more" in lines[-1]) == (shown < 12)


def test_drawing_again_goes_up_as_many_lines_as_were_drawn():
    """Nothing of the frame before is left, and the cursor comes back at the end."""
    out = io.StringIO()
    show = Live("up", "running", 1, out)
    show.row(row("cart"))
    show.draw()
    show.draw()
    show.erase()
    show.close()
    assert out.getvalue().count("\r\x1b[2A") == 2
    assert out.getvalue().endswith("\x1b[?25h")


def test_progress_follows_the_variable():
    """COMPOSE_PROGRESS has docker compose's meaning; nonsense is taken as auto."""
    assert Asked.of({"COMPOSE_PROGRESS": "json"}).progress == "json"
    assert Asked.of({"COMPOSE_PROGRESS": "fancy"}).progress == "auto"
