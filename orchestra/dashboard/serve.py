"""Runs the dashboard's server: what to listen on, the link, and the end."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import re
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import anyio
import uvicorn

from .. import ours
from ..errors import OrchestraError
from ..places import Home
from .board import Board
from .complaints import Complaints
from .feed import Feed
from .gate import SECRET_BYTES, Gate
from .handing import desktop_user, has_browser, page_to, show
from .protocols import protocols
from .routes import May, Server, application
from .stacks import Stacks
from .stream import Pages
from .visitors import Visitors

PORT = 7077
MONITOR_TOKEN = "dashboard.token"
TOKEN = re.compile(r"[!-~]{16,}")
"""Also one that a person has chosen; not what is left of a file that was cut."""
"""Below the data directory."""
LAST_WORDS = 2.0
"""Seconds that open requests get at the end."""
LARGEST_HEAD = 16 * 1024
LARGEST_MESSAGE = 1024 * 1024
"""To a terminal: what is pasted."""
ACCEPTED_AT_ONCE = 128
"""Connections that are taken before one is closed for being too many: each holds a descriptor."""
LONGEST_OPENING = 60.0
"""Seconds that a browser may take to follow the link it was given."""
GLANCE = 0.2
"""Seconds after which it is looked again whether it has."""


@dataclass(frozen=True, slots=True)
class Wishes:
    host: str = "127.0.0.1"
    port: int | None = None  # None: PORT, or any free one where that is taken
    read_only: bool = False
    allow_exec: bool = False
    open_browser: bool = True
    names: tuple[str, ...] = ()  # further names that it may be called by, with any port


def serve(home: Home, wishes: Wishes) -> None:
    """Serve until SIGINT or SIGTERM. Raises OrchestraError where it cannot listen."""
    with listening(wishes) as door:
        anyio.run(_serve, home, wishes, door)


async def _serve(home: Home, wishes: Wishes, door: socket.socket) -> None:
    port = door.getsockname()[1]
    feed = Feed()
    board = Board(feed)
    stacks = Stacks(home, board)
    gate = Gate(port, hosts(wishes), wishes.names, monitor_token(home))
    pages = Pages(board, feed, {"read_only": wishes.read_only, "exec": wishes.allow_exec, "home": home.data})
    visitors = Visitors()
    http, websocket = protocols(visitors)
    Complaints.listen()
    app = application(Server(gate, board, stacks, pages, May(wishes.read_only, wishes.allow_exec)), visitors)
    config = uvicorn.Config(
        app,
        lifespan="off",
        access_log=False,
        log_config=None,
        http=http,
        h11_max_incomplete_event_size=LARGEST_HEAD,
        backlog=ACCEPTED_AT_ONCE,
        server_header=False,
        proxy_headers=False,  # who asks is never believed to be somebody else
        ws=websocket,
        ws_max_size=LARGEST_MESSAGE,
        timeout_graceful_shutdown=LAST_WORDS,  # type: ignore[arg-type]  # a float does as well
        timeout_keep_alive=30,
    )
    server = _Uvicorn(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stacks.watch)
        tasks.start_soon(_until_told, server, pages)
        tasks.start_soon(_links, gate, wishes, port)
        await server.serve(sockets=[door])
        tasks.cancel_scope.cancel()


class _Uvicorn(uvicorn.Server):
    """Signals are ours: streams have to end before it waits for them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _until_told(server: uvicorn.Server, pages: Pages) -> None:
    # What was ignored at the start stays so: Ctrl-C of a job in the background is meant for another one.
    heard = [each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) is not signal.SIG_IGN]
    with anyio.open_signal_receiver(*heard) as signals:
        async for _ in signals:
            pages.close()
            server.should_exit = True


async def _links(gate: Gate, wishes: Wishes, port: int) -> None:
    """A link now, and another one for each Enter: a link is good for one browser."""
    token = gate.new_token()
    link = _link(token, wishes, port)
    said = [f"dashboard: {link}", "           the link works once, for one browser"]
    if not _is_loopback(wishes.host):
        said += warning(wishes)
    asks = sys.stdin is not None and sys.stdin.isatty()
    said.append("           Enter makes another link, Ctrl-C ends" if asks else "           SIGTERM ends")
    print("\n".join(said), flush=True)
    async with anyio.create_task_group() as tasks:
        if wishes.open_browser and has_browser(os.environ):
            tasks.start_soon(_open, gate, token, link)
        while asks:
            await anyio.wait_readable(sys.stdin)
            if not sys.stdin.readline():
                return
            print(f"dashboard: {_link(gate.new_token(), wishes, port)}", flush=True)


async def _open(gate: Gate, token: str, link: str) -> None:
    """The page that the browser is given stays until it has been followed, or the link is good for nothing more."""
    user = desktop_user(os.environ, os.geteuid())
    # Without room for the page there is no browser; the link is in the terminal.
    with contextlib.suppress(OSError), anyio.move_on_after(LONGEST_OPENING), page_to(link, user) as page:
        # Some browsers only come back at their end, which nobody waits for.
        threading.Thread(target=show, args=(page, user), daemon=True).start()
        while gate.awaits(token):  # noqa: ASYNC110 - the gate knows of no tasks
            await anyio.sleep(GLANCE)


def warning(wishes: Wishes) -> list[str]:
    """What it means that others can reach it."""
    can = "can see all of your stacks" if wishes.read_only else "can do with your stacks what you can"
    return [
        f"           listening on {wishes.host}: who reaches this port and has a link {can},",
        "           and nothing of it is encrypted. ssh -L or a proxy with TLS is safer.",
    ]


def monitor_token(home: Home) -> str:
    """What other monitors show for names and figures: kept in a file that only its owner can read, "" without one."""
    path = os.path.join(home.data, MONITOR_TOKEN)
    try:
        os.makedirs(home.data, mode=0o700, exist_ok=True)
        kept = (ours.read(path) or b"").decode("ascii", "replace").strip()
        if TOKEN.fullmatch(kept):
            return kept
        if os.path.lexists(path):
            ours.set_aside(path)
        with contextlib.suppress(FileExistsError):
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(number, "w") as file:
                file.write(secrets.token_urlsafe(SECRET_BYTES) + "\n")
        return (ours.read(path) or b"").decode().strip()
    except OSError:
        return ""


def _link(token: str, wishes: Wishes, port: int) -> str:
    host = "127.0.0.1" if _is_loopback(wishes.host) else wishes.host
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/enter?token={token}"


def hosts(wishes: Wishes) -> set[str]:
    """What this server may be called in a request. Any other name is somebody else's (DNS rebinding)."""
    named = {"localhost", "127.0.0.1", "::1", wishes.host}
    if not _is_loopback(wishes.host):
        named |= {"*", socket.gethostname(), socket.getfqdn()}
    return named


def _cannot_listen(host: str, port: int, error: OSError) -> OrchestraError:
    nameless = error.errno is not None and error.errno < 0  # getaddrinfo's: a name that leads nowhere
    if nameless or error.errno == errno.EADDRNOTAVAIL:
        return OrchestraError(f"cannot listen on {host}: it is no address of this machine", "ip addr lists them")
    # Python adds the address to the kernel's words, for whom it is the first that is heard of it.
    why = os.strerror(error.errno) if error.errno else str(error)
    return OrchestraError(f"cannot listen on {host} port {port}: {why}", "another --port, or --listen HOST:PORT")


@contextlib.contextmanager
def listening(wishes: Wishes) -> Iterator[socket.socket]:
    """Raises OrchestraError where the port cannot be had."""
    family = socket.AF_INET6 if ":" in wishes.host else socket.AF_INET
    tries = [PORT, 0] if wishes.port is None else [wishes.port]
    for port in tries:
        try:
            door = socket.create_server((wishes.host, port), family=family)
        except OSError as error:
            if port == tries[-1]:
                raise _cannot_listen(wishes.host, port, error) from None
            continue
        with door:
            yield door
        return


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
