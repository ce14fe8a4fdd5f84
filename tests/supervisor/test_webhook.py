"""Alerts on their way out: to a real server that takes them, refuses them, is slow, or leads elsewhere."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from inbox import Inbox, opened

from orchestra.errors import OrchestraError
from orchestra.stack.model import Receiver
from orchestra.supervisor.webhook import Temporary, send

MESSAGE = {"status": "firing", "title": "shop: unhealthy (cart)", "text": "cart-1 is unhealthy: näh", "stack": "shop"}


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with opened() as server:
        yield server


def test_a_message_is_posted_as_json(inbox: Inbox) -> None:
    """With the receiver's own headers, to its very address."""
    send(Receiver("team", inbox.url(), headers={"Authorization": "Bearer x"}), MESSAGE)
    ((path, headers, body),) = inbox.got
    assert path == "/in/s3cret?k=v"
    assert json.loads(body) == MESSAGE
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Bearer x"


def test_a_plain_receiver_gets_text(inbox: Inbox) -> None:
    """As ntfy and its like take it: text as the body, the title in a header."""
    send(Receiver("phone", inbox.url(), "text"), MESSAGE)
    ((_, headers, body),) = inbox.got
    assert body.decode() == "cart-1 is unhealthy: näh"
    assert (headers["Title"], headers["Priority"]) == ("shop: unhealthy (cart)", "high")


@pytest.mark.parametrize(("answer", "again"), [(500, True), (429, True), (404, False), (302, False)])
def test_a_refusal_says_so_and_shows_no_secret(inbox: Inbox, answer: int, again: bool) -> None:
    """Trying again makes sense for some; a redirect is not followed."""
    inbox.answer = answer
    with pytest.raises(OrchestraError) as caught:
        send(Receiver("team", inbox.url()), MESSAGE)
    assert caught.value.what == f"team (127.0.0.1) answered {answer}"
    assert isinstance(caught.value, Temporary) == again
    assert len(inbox.got) == 1


def test_a_receiver_that_does_not_answer_is_given_up(inbox: Inbox) -> None:
    """After its time; it may do better later."""
    inbox.go.clear()
    with pytest.raises(Temporary, match=r"^team \(127\.0\.0\.1\) did not answer within 0\.2 s$"):
        send(Receiver("team", inbox.url(), timeout=0.2), MESSAGE)


@pytest.mark.parametrize("dripped", [b"HTTP/1.1 200 OK\r\nX: " + b"y" * 500, b"y" * 500], ids=["head", "garbage"])
def test_a_receiver_that_answers_byte_by_byte_is_given_up(dripped: bytes) -> None:
    """The time is for the whole answer, and nothing of the attempt stays."""
    before = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            with server.accept()[0] as peer, contextlib.suppress(OSError):
                for byte in dripped:
                    peer.send(bytes([byte]))
                    time.sleep(0.05)

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        begun = time.monotonic()
        with pytest.raises(Temporary, match=r"did not answer within 0\.3 s$"):
            send(Receiver("team", f"http://127.0.0.1:{server.getsockname()[1]}/", timeout=0.3), MESSAGE)
        assert time.monotonic() - begun < 10  # 25 s of drops
        dripping.join(10)
    end = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_nobody_there_is_temporary(inbox: Inbox) -> None:
    """In the words of the system, without the address."""
    inbox.shutdown()
    inbox.server_close()
    with pytest.raises(Temporary) as caught:
        send(Receiver("team", inbox.url()), MESSAGE)
    assert caught.value.what == "team (127.0.0.1) cannot be reached: Connection refused"


def test_a_certificate_that_nobody_vouches_for_is_refused(inbox: Inbox) -> None:
    """And what does not speak TLS at all; nothing is sent in the clear."""
    with pytest.raises(OrchestraError) as caught:
        send(Receiver("team", inbox.url().replace("http:", "https:")), MESSAGE)
    assert "s3cret" not in caught.value.what
    assert inbox.got == []
