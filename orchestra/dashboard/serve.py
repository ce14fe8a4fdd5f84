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
import webbrowser
from collections.abc import Iterator
from dataclasses import dataclass

import anyio
import uvicorn

from .. import ours
from ..errors import OrchestraError
from ..places import Home
from .board import Board
from .feed import Feed
from .gate import SECRET_BYTES, Gate
from .routes import May, Server, application
from .stacks import Stacks
from .stream import Pages

PORT = 7077
MONITOR_TOKEN = "dashboard.token"
TOKEN = re.compile(r"[!-~]{16,}")
"""Also one that a person has chosen; not what is left of a file that was cut."""
"""Below the data directory."""
LAST_WORDS = 2.0
"""Seconds that open requests get at the end."""


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
    app = application(Server(gate, board, stacks, pages, May(wishes.read_only, wishes.allow_exec)))
    config = uvicorn.Config(
        app,
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # who asks is never believed to be somebody else
        ws="websockets-sansio",
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
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            pages.close()
            server.should_exit = True


async def _links(gate: Gate, wishes: Wishes, port: int) -> None:
    """A link now, and another one for each Enter: a link is good for one browser."""
    link = _link(gate, wishes, port)
    said = [f"dashboard: {link}", "           the link works once, for one browser"]
    if not _is_loopback(wishes.host):
        said += warning(wishes)
    asks = sys.stdin is not None and sys.stdin.isatty()
    said.append("           Enter makes another link, Ctrl-C ends" if asks else "           SIGTERM ends")
    print("\n".join(said), flush=True)
    if wishes.open_browser and _has_browser():
        await anyio.to_thread.run_sync(webbrowser.open, link)
    while asks:
        await anyio.wait_readable(sys.stdin)
        if not sys.stdin.readline():
            return
        print(f"dashboard: {_link(gate, wishes, port)}", flush=True)


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


def _link(gate: Gate, wishes: Wishes, port: int) -> str:
    host = "127.0.0.1" if _is_loopback(wishes.host) else wishes.host
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/enter?token={gate.new_token()}"


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


def _has_browser() -> bool:
    """One with a window: a text browser in this terminal would be no pleasure."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
