"""A small HTTP server: a table of routes, each a plain function from a Request to an Answer.

    app = App("catalog", health=database.check)

    @app.route("GET", "/products/{sku}")
    def product(request: Request) -> Answer:
        return answer({"sku": request.params["sku"]})

    app.serve()

Each request is answered in a thread of its own, over a connection of its own.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote

LARGEST_BODY = 64 * 1024


class Request(NamedTuple):
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    params: Mapping[str, str]  # what the {names} of the route stand for

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; anything else is the caller's mistake."""
        try:
            value = json.loads(self.body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Refused(400, "the body must be a JSON object")
        return value

    def text(self, name: str, longest: int = 200) -> str:
        """A text that the JSON body must have."""
        value = self.json().get(name)
        if not isinstance(value, str) or not value.strip() or len(value) > longest:
            raise Refused(422, f"{name} must be a text of 1 to {longest} characters")
        return value

    def number(self, name: str, least: int, most: int) -> int:
        """A whole number that the JSON body must have."""
        value = self.json().get(name)
        if type(value) is not int or not least <= value <= most:
            raise Refused(422, f"{name} must be a whole number from {least} to {most}")
        return value

    def bearer(self) -> str:
        """The token of `Authorization: Bearer TOKEN`."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused(401, "sign in first")
        return token.strip()


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]


class Refused(Exception):
    """The request cannot be served, and the caller can do something about it."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


Action = Callable[[Request], Answer]


def answer(value: Mapping[str, Any], status: int = 200) -> Answer:
    """A JSON answer."""
    return Answer(status, json.dumps(value).encode() + b"\n", (("Content-Type", "application/json"),))


def explain(_request: Request, error: Exception) -> Answer:
    """What a caller gets to read when an action raised: its own mistakes in full, ours without the insides."""
    if isinstance(error, Refused):
        return answer({"error": error.why}, error.status)
    return answer({"error": "something went wrong here; the log has the details"}, 500)


class App:
    """The routes of one service, and how it is served."""

    def __init__(
        self,
        name: str,
        health: Callable[[], object] = lambda: None,  # raises when the service cannot work
        explain: Callable[[Request, Exception], Answer] = explain,
    ) -> None:
        self.name = name
        self.explain = explain
        self._health = health
        self._routes: list[tuple[str, list[str], Action]] = [("GET", ["", "health"], self._healthy)]

    def route(self, method: str, pattern: str) -> Callable[[Action], Action]:
        def add(action: Action) -> Action:
            self._routes.append((method, pattern.split("/"), action))
            return action

        return add

    def find(self, method: str, path: str) -> tuple[Action, dict[str, str]]:
        """The action for a path, and what the names in its pattern stand for."""
        parts = path.split("/")
        methods = set()
        for known, pattern, action in self._routes:
            if len(pattern) != len(parts) or any(p != q for p, q in zip(pattern, parts, strict=True) if p[:1] != "{"):
                continue
            if known == method:
                return action, {p[1:-1]: unquote(q) for p, q in zip(pattern, parts, strict=True) if p[:1] == "{"}
            methods.add(known)
        if methods:
            raise Refused(405, f"only {', '.join(sorted(methods))} is possible here")
        raise Refused(404, "there is nothing here")

    def perform(self, request: Request) -> Answer:
        """Answer one request, whatever happens in the action."""
        try:
            action, params = self.find(request.method, request.path)
            return action(request._replace(params=params))
        except Exception as error:  # noqa: BLE001 - one bad request must not end the service
            if not isinstance(error, Refused):
                print(f"{self.name}: {type(error).__name__}: {error}", flush=True)
            return self.explain(request, error)

    def _healthy(self, _request: Request) -> Answer:
        self._health()
        return answer({"healthy": self.name})

    def serve(self) -> None:
        """Listen on HOST:PORT until SIGTERM or SIGINT. What is being answered then is answered to its end."""
        # As process 1 of a container, a signal without a handler would be ignored.
        signal.signal(signal.SIGTERM, _leave)
        signal.signal(signal.SIGINT, _leave)
        address = (os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080")))
        with _Server(address, _Connection) as server:
            server.app = self
            print(f"{self.name}: listening on {address[0]}:{address[1]}", flush=True)
            try:
                server.serve_forever()
            finally:
                server.finish(longest=2.0)
                print(f"{self.name}: stopped", flush=True)


def _leave(_signal: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not cut the good-bye short
    sys.exit(0)


class _Server(ThreadingHTTPServer):
    app: App
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        self._busy = 0
        self._changed = threading.Condition()
        super().__init__(*args)

    def server_bind(self) -> None:
        # Past HTTPServer's own, which asks the DNS for the name of this machine and delays the start.
        TCPServer.server_bind(self)

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that broke is no news; anything else is one line, and the service goes on."""
        error = sys.exception()
        if not isinstance(error, OSError):
            print(f"{self.app.name}: {type(error).__name__}: {error}", flush=True)

    def answering(self, change: int) -> None:
        with self._changed:
            self._busy += change
            self._changed.notify_all()

    def finish(self, longest: float) -> None:
        """Wait for the requests that are being answered; connections that say nothing are not waited for."""
        with self._changed:
            self._changed.wait_for(lambda: self._busy == 0, timeout=longest)


class _Connection(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10  # for a peer that connects and then says nothing

    def _answer(self) -> None:
        began = time.monotonic()
        self.server.answering(+1)
        try:
            reply = self._reply()
            self.send_response_only(reply.status)
            for name, value in reply.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else reply.body)
        except OSError:
            return  # whoever asked is gone
        finally:
            self.server.answering(-1)
        if self.path == "/health" and reply.status == 200:
            return  # asked all the time: in the log only when there is something to say
        took = (time.monotonic() - began) * 1000
        print(f"{self.command} {quote(self.path, safe='/?&=%+,')} {reply.status} {took:.1f}ms", flush=True)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer  # the names that http.server looks for

    def _reply(self) -> Answer:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        length = headers.get("content-length", "0")
        method = "GET" if self.command == "HEAD" else self.command
        request = Request(method, path, dict(parse_qsl(query)), headers, b"", {})
        if not length.isdecimal() or len(length) > 9 or int(length) > LARGEST_BODY:
            return self.server.app.explain(request, Refused(413, f"a body may have {LARGEST_BODY} bytes"))
        return self.server.app.perform(request._replace(body=self.rfile.read(int(length))))
