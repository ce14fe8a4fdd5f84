"""Around the whole application: the gate before it, bounds on what comes in, and the headers of what goes out."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .gate import LARGEST_BODY, Asked, Gate, Refusal
from .visitors import Visitors

HEADERS = {
    # connect-src names the scheme of sockets as well: older browsers do not count them as 'self'.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class TooLarge(Exception):
    """The body of a request went over its bound."""


class Guard:
    def __init__(self, app: ASGIApp, gate: Gate, visitors: Visitors) -> None:
        self._app = app
        self._gate = gate
        self._visitors = visitors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        asked = asked_for(scope)
        judged = self._gate.judge(asked)
        if isinstance(judged, Refusal):
            await refuse(judged, scope, receive, send)
            return
        if scope["client"] and (judged is not None or self._gate.is_monitor(asked.headers)):
            self._visitors.is_known(tuple(scope["client"]))
        if _length(asked) > LARGEST_BODY:
            await refuse(Refusal(413, f"more than {LARGEST_BODY} bytes"), scope, receive, send)
            return
        scope.setdefault("state", {})["session"] = judged
        try:
            await self._app(scope, bounded(receive), guarded(send))
        except TooLarge:
            await refuse(Refusal(413, f"more than {LARGEST_BODY} bytes"), scope, receive, send)
        except ClientDisconnect:
            return  # in the middle of what it had to say


def _length(asked: Asked) -> int:
    """What is no number is no length: a handshake of a socket has none, whatever it says."""
    said = asked.headers.get("content-length", "")
    return int(said) if asked.kind == "http" and said else 0


def asked_for(scope: Scope) -> Asked:
    """Of a header that came twice nothing is believed."""
    headers: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1").lower()
        headers[name] = "" if name in headers and name != "cookie" else value.decode("latin-1")
    return Asked(
        kind=scope["type"],
        method=scope.get("method", "GET"),
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
    )


async def refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()  # the handshake, which is refused with 403 (ASGI, close before accept)
        await send({"type": "websocket.close", "code": 1008})
        return
    response = PlainTextResponse(refusal.text + "\n", refusal.status, headers={"Connection": "close"})
    await response(scope, receive, guarded(send))


def bounded(receive: Receive) -> Receive:
    """Refuses, not cuts, a body without a length that goes over the bound."""
    total = 0

    async def read() -> Message:
        nonlocal total
        message = await receive()
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            if total > LARGEST_BODY:
                raise TooLarge
        return message

    return read


def guarded(send: Send) -> Send:
    async def write(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return write
