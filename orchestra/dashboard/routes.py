"""What is served where. The shapes are in `README.md` beside this file."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from urllib.parse import quote

import anyio
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from .. import __version__
from ..errors import OrchestraError
from ..plan.exposition import CONTENT_TYPE, exposition
from ..wire.api import Status
from ..wire.codec import encode
from ..wire.history import Usage
from . import actions, logs, terminal
from .aside import think_aside
from .board import Board
from .gate import Gate
from .guard import Guard
from .search import Query
from .stacks import Stacks
from .stream import Pages, Say, Topic
from .upstream import Upstream
from .visitors import Visitors

STATIC = os.path.join(os.path.dirname(__file__), "static")
ENTERED = """<!doctype html><html lang="en"><meta charset="utf-8"><title>orchestra</title>
<meta name="orchestra-key" content="{key}"><script src="/static/enter.js"></script>
<p>Signed in. <a href="/">To the dashboard</a>"""
TURNED_AWAY = "this link was used already, or is not one of this dashboard: take a new one where it was started\n"
MOST_LINES = 5000
LARGEST_NUMBER = 1e12
LONGEST_INTERVAL = 3600
LONGEST_READ = 15.0
"""Seconds that the files of a stack may take."""
LONGEST_SCRAPE = 5.0
"""Seconds; Prometheus waits for ten."""
PASSED_ON = ("usage", "health", "probes", "series", "marks", "startup", "why", "alerts", "networks")
"""Questions to a supervisor whose answers are given as they are (`wire/history`, `wire/neighbours`)."""
LISTS = frozenset(("services", "metrics", "containers", "actions"))
NUMBERS = frozenset(("start", "until", "step", "limit", "interval"))
WORDS = frozenset(("service", "container", "by_container", "search"))


class Wrong(OrchestraError):
    """A request that is not to be, with the code for it (RFC 9110); other errors are 409: not as things stand."""

    def __init__(self, code: int, what: str, hint: str | None = None) -> None:
        super().__init__(what, hint)
        self.code = code


@dataclass(frozen=True, slots=True)
class May:
    """What may be done from the pages."""

    read_only: bool
    exec: bool


class Server:
    """Everything that the routes need, and the routes."""

    def __init__(self, gate: Gate, board: Board, stacks: Stacks, pages: Pages, may: May) -> None:
        self.gate = gate
        self._board = board
        self._stacks = stacks
        self._pages = pages
        self._may = may
        self._topics: dict[str, Topic] = {"logs": partial(logs.follow, board), "usage": self._usage}

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/enter", self.enter),
            Route("/healthz", self.healthz),
            Route("/metrics", self.metrics),
            Route("/api/stream", self.stream),
            Route("/api/stream/{page}/{topic}", self.topic, methods=["POST", "DELETE"]),
            Route("/api/state", self.state),
            *(Route(f"/api/stacks/{{stack}}/{do}", partial(self.pass_on, do)) for do in PASSED_ON),
            Route("/api/stacks/{stack}/actions", self.act, methods=["POST"]),
            Route("/api/stacks/{stack}/config", self.config),
            Route("/api/stacks/{stack}/alert_test", self.alert_test, methods=["POST"]),
            WebSocketRoute("/api/stacks/{stack}/exec", self.terminal),
            Route("/api/events", self.events),
            Route("/api/logs", self.search),
            Route("/api/logs/download", self.download),
            Route("/api/leave", self.leave, methods=["POST"]),
            Route("/api/{rest:path}", missing),
            Mount("/static", StaticFiles(directory=STATIC)),
            Route("/{page:path}", shell),
        ]

    # Coming and going

    async def enter(self, request: Request) -> Response:
        if entered := self.gate.enter(request.query_params.get("token", "")):
            cookie, session = entered
            # Not a redirect: a cookie that is SameSite=Strict would not go along with one that another site began.
            response = HTMLResponse(ENTERED.format(key=session.key))
            response.set_cookie(self.gate.cookie_name, cookie, httponly=True, samesite="strict", path="/")
            return response
        if self.gate.knows(request.headers.get("cookie", "")):
            return RedirectResponse("/", 303)  # the link in the terminal, clicked once more
        return PlainTextResponse(TURNED_AWAY, 401)

    async def leave(self, request: Request) -> Response:
        self.gate.leave(request.state.session)
        return JSONResponse({})

    async def healthz(self, request: Request) -> Response:
        """For other monitors: 200 or 503; which services only for those who have the monitor's token."""
        one = request.query_params.get("stack")
        bad = [*self._board.unreached(one), *(f"{stack}/{service}" for stack, service in self._board.unwell(one))]
        away = one is not None and one not in self._board.names()
        status = "not running" if away else "unhealthy" if bad else "ok"
        told = {"unhealthy": bad} if self.gate.is_monitor(request.headers) else {}
        return JSONResponse({"status": status, **told}, 200 if status == "ok" else 503)

    async def metrics(self, _: Request) -> Response:
        """Every stack for Prometheus; one that does not answer in time is left out."""
        found: list[tuple[Status, list[Usage]]] = []

        async def ask(upstream: Upstream) -> None:
            with anyio.move_on_after(LONGEST_SCRAPE), contextlib.suppress(OrchestraError):
                status = await upstream.call({"do": "status"})
                usage = await upstream.call({"do": "usage"})
                # What another stack owns is told by that stack.
                own = [row for row in status["rows"] if "owner" not in row]
                found.append((cast(Status, {**status, "rows": own}), usage["usage"]))

        async with anyio.create_task_group() as tasks:
            for upstream in self._stacks.reached():
                tasks.start_soon(ask, upstream)
        found.sort(key=lambda one: one[0]["stack"])
        return Response(exposition(found, __version__), media_type=CONTENT_TYPE)

    # Looking

    async def state(self, _: Request) -> Response:
        return JSONResponse(self._board.snapshot())

    async def stream(self, request: Request) -> Response:
        mark = request.headers.get("last-event-id") or request.query_params.get("mark", "")
        return _Streamed(partial(self._pages.serve, request.state.session, mark))

    async def topic(self, request: Request) -> Response:
        page = self._pages.find(request.path_params["page"], request.state.session)
        number = request.path_params["topic"]
        if request.method == "DELETE":
            page.end(number)
            return JSONResponse({})
        wish = await _asked(request)
        kind = str(wish.get("kind"))
        if kind not in self._topics:
            raise OrchestraError(f"there is no topic {kind!r}")
        page.begin(number, self._topics[kind], wish)
        return JSONResponse({})

    async def pass_on(self, do: str, request: Request) -> Response:
        """A question to the stack's supervisor, with the numbers and words of the query; its answer as it is."""
        wish = asked_of(request.query_params)
        answer = await self._stacks.reach(request.path_params["stack"]).call({**wish, "do": do})
        return JSONResponse({key: value for key, value in answer.items() if key not in ("re", "done")})

    async def _usage(self, wish: Mapping[str, Any], say: Say) -> None:
        """The topic `usage`: `{"stack", "services", "interval"}`; messages `{"usage": […]}`."""
        named, interval = wish.get("services"), wish.get("interval")
        services = [str(one) for one in named] if isinstance(named, list) and named else None
        interval = interval if isinstance(interval, int | float) and 1 <= interval <= LONGEST_INTERVAL else 1
        question = {"do": "usage", "services": services, "interval": interval, "follow": True}
        async for answer in self._stacks.reach(str(wish.get("stack"))).answers(question):
            if "usage" in answer:
                say({"usage": answer["usage"]})

    async def events(self, request: Request) -> Response:
        """Stored events of one stack, newest last."""
        asked = request.query_params
        upstream = self._stacks.reach(asked.get("stack", ""))
        question = {
            "do": "events",
            "since": _seconds(asked.get("since")),
            "until": _seconds(asked.get("until")),
            "services": asked.getlist("service") or None,
            "search": asked.get("q", ""),
            "before": int(before) if (before := _seconds(asked.get("before"))) else None,
            "limit": min(int(_seconds(asked.get("limit")) or 500), MOST_LINES),
            "follow": False,
        }
        found: list[dict[str, Any]] = []
        more = False
        async for answer in upstream.answers(question):
            if "event" in answer:
                found.append({"stack": upstream.stack, **answer["event"]})
            more = bool(answer.get("more"))
        return JSONResponse({"events": found, "more": more})

    async def search(self, request: Request) -> Response:
        asked = request.query_params
        chosen = logs.sources(self._board, asked.get("stack", ""), asked.getlist("service"))
        since, until = _seconds(asked.get("since")), _seconds(asked.get("until"))
        query = Query(
            text=asked.get("q", "")[:1000],
            regex=asked.get("regex") == "1",
            case=asked.get("case") == "1",
            levels=frozenset(asked.getlist("level")),
            since=int((since or 0) * 1e6),
            until=int((until or time.time() + 1) * 1e6),
            limit=max(1, min(int(_seconds(asked.get("limit")) or 500), MOST_LINES)),
            newest=asked.get("order") != "oldest",
        )
        found = await logs.find(chosen, query)
        return JSONResponse(
            {
                "sources": [source.describe() for source in chosen],
                "lines": found.lines,
                "more": found.more,
                "partly": found.partly,
                "looked_at": found.looked_at,
            }
        )

    async def download(self, request: Request) -> Response:
        asked = request.query_params
        chosen = logs.sources(self._board, asked.get("stack", ""), asked.getlist("service"))
        since, until = _seconds(asked.get("since")), _seconds(asked.get("until"))
        name = "-".join([asked.get("stack") or "all", *asked.getlist("service")])
        disposition = f"attachment; filename*=UTF-8''{quote(name)}.log"
        text = logs.whole(chosen, int((since or 0) * 1e9), int((until or time.time() + 1) * 1e9))
        return StreamingResponse(text, media_type="text/plain", headers={"Content-Disposition": disposition})

    async def config(self, request: Request) -> Response:
        name = request.path_params["stack"]
        if name not in self._board.stacks:
            raise OrchestraError(f"stack {name} is not running")
        running = encode(self._board.stacks[name])
        return JSONResponse(await think_aside("config", running, LONGEST_READ, "reading the files"))

    # Changing

    def _need_changes(self) -> None:
        if self._may.read_only:
            raise Wrong(403, "this dashboard is read-only", "start it without --read-only")

    async def alert_test(self, request: Request) -> Response:
        self._need_changes()
        wish = await _asked(request)
        receiver = None if wish.get("receiver") is None else str(wish["receiver"])
        upstream = self._stacks.reach(request.path_params["stack"])
        answer = await upstream.call({"do": "alert_test", "receiver": receiver})
        return JSONResponse({key: value for key, value in answer.items() if key not in ("re", "done")})

    async def terminal(self, socket: WebSocket) -> None:
        if not self._may.exec or self._may.read_only:
            await socket.close(1008)
            return
        await terminal.converse(socket, self._stacks.places(socket.path_params["stack"]), socket.query_params)

    async def act(self, request: Request) -> Response:
        self._need_changes()
        name = request.path_params["stack"]
        upstream = self._stacks.reach(name)
        wish = await _asked(request)
        return JSONResponse(await actions.perform(upstream, self._board.stacks[name], wish))


class _Streamed(Response):
    """A response that writes itself."""

    def __init__(self, serve: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._serve(scope, receive, send)


async def shell(_: Request) -> Response:
    """The page itself; its address is its own affair."""
    return FileResponse(os.path.join(STATIC, "index.html"), headers={"Cache-Control": "no-cache"})


async def missing(_: Request) -> Response:
    return JSONResponse({"error": {"what": "there is nothing at this address", "hint": None}}, 404)


async def in_words(_: Request, error: Exception) -> Response:
    assert isinstance(error, OrchestraError)
    status = error.code if isinstance(error, Wrong) else 409
    return JSONResponse({"error": {"what": error.what, "hint": error.hint}}, status)


async def _asked(request: Request) -> dict[str, Any]:
    """The body of a request. Raises OrchestraError where it is not an object in JSON."""
    try:
        wish = json.loads(await request.body())
    except (ValueError, RecursionError):
        wish = None
    if not isinstance(wish, dict):
        raise Wrong(400, "the body is to be an object in JSON")
    return wish


def _seconds(text: str | None) -> float | None:
    try:
        number = float(text) if text else None
    except ValueError:
        number = math.inf
    if number is not None and not abs(number) < LARGEST_NUMBER:
        raise Wrong(400, f"{text!r} is not a number that makes sense here")
    return number


def asked_of(query: QueryParams) -> dict[str, Any]:
    """The fields of a question, from the query of an address: lists are repeated, what is not known is left out."""
    fields: dict[str, Any] = {key: query.getlist(key) for key in query if key in LISTS}
    fields |= {key: _seconds(query[key]) for key in query if key in NUMBERS}
    return fields | {key: query[key] for key in query if key in WORDS}


def application(server: Server, visitors: Visitors) -> ASGIApp:
    inside = Starlette(routes=server.routes(), exception_handlers={OrchestraError: in_words})
    return Guard(inside, server.gate, visitors)
