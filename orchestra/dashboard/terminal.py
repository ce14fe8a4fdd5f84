"""A terminal in a container, over a socket of the page: binary both ways, what is about it as text.

Only where it was asked for when the dashboard was started: whoever has the page is root in every container.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import struct
import termios
from collections.abc import Mapping
from typing import Any

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..errors import OrchestraError
from ..places import Places
from .upstream import Upstream

BLOCK = 1 << 16
DEFAULT = "if command -v bash >/dev/null; then exec bash; else exec sh; fi"
LARGEST = 1000
"""Rows and columns."""


async def converse(socket: WebSocket, places: Places, wish: Mapping[str, str]) -> None:
    """From the start of the process to its end, or to the end of the page, which hangs up."""
    await socket.accept()
    try:
        upstream = Upstream(places)
    except OSError:
        await _say(socket, {"error": {"what": f"stack {places.name} is not running", "hint": None}})
        return
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(upstream.listen)
            try:
                await _run(socket, upstream, wish)
            except OrchestraError as error:
                await _say(socket, {"error": {"what": error.what, "hint": error.hint}})
            except WebSocketDisconnect:
                pass  # the terminal's master closes, and with it the process is hung up on
            tasks.cancel_scope.cancel()
    finally:
        upstream.close()


async def _run(socket: WebSocket, upstream: Upstream, wish: Mapping[str, str]) -> None:
    try:
        command = shlex.split(wish.get("command", "")) or ["sh", "-c", DEFAULT]
    except ValueError as error:
        raise OrchestraError(f"this is no command: {error}", "close the quotes") from None
    question = {
        "do": "exec",
        "service": wish.get("service", ""),
        "index": int(wish["index"]) if wish.get("index", "").isdigit() else 0,
        "args": command,
        "env": ["TERM=xterm-256color"],
        "cwd": None,
        "user": None,
        "tty": True,
        "privileged": False,
        "detach": False,
    }
    async for answer in upstream.answers(question):
        if "started" in answer:
            master = upstream.descriptors.pop()
            os.set_blocking(master, False)
            resize(master, wish.get("rows"), wish.get("columns"))
            await _copy(socket, master)
        if "code" in answer:
            await _say(socket, {"code": answer["code"]})


async def _copy(socket: WebSocket, master: int) -> None:
    """Until the process has closed the terminal."""
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_type, socket, master)
            while shown := await _read(master):
                await socket.send_bytes(shown)
            tasks.cancel_scope.cancel()
    except* WebSocketDisconnect:
        raise WebSocketDisconnect(1001) from None
    finally:
        os.close(master)


async def _read(master: int) -> bytes:
    while True:
        await anyio.wait_readable(master)
        try:
            return os.read(master, BLOCK)
        except BlockingIOError:
            continue
        except OSError:
            return b""  # EIO: nobody has the other side open any more (pty(7))


async def _type(socket: WebSocket, master: int) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(1001)
        if text := message.get("text"):
            resize(master, *_size(text))
            continue
        typed = memoryview(message.get("bytes") or b"")
        while typed:
            await anyio.wait_writable(master)
            try:
                typed = typed[os.write(master, typed) :]
            except BlockingIOError:
                continue
            except OSError:
                return  # as above; the exit code is on its way


def _size(text: str) -> tuple[Any, Any]:
    """Rows and columns of `{"resize": [rows, columns]}`, nothing of anything else."""
    try:
        rows, columns = json.loads(text)["resize"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None, None
    return rows, columns


def resize(master: int, rows: Any = None, columns: Any = None) -> None:
    """Both or nothing; TIOCSWINSZ (ioctl_tty(2)), which also tells the process."""
    try:
        size = (int(rows), int(columns))
    except (TypeError, ValueError, OverflowError):
        return
    if all(0 < each <= LARGEST for each in size):
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))


async def _say(socket: WebSocket, message: dict[str, Any]) -> None:
    try:
        await socket.send_text(json.dumps(message))
        await socket.close()
    except (WebSocketDisconnect, RuntimeError):
        return  # it has gone already
