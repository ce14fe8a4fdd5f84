"""One probe of a service: over HTTP or TCP from within its network namespace, or by a process in its container."""

from __future__ import annotations

import errno
import os
import socket

import anyio
import anyio.to_thread

from ..errors import OrchestraError, is_exhausted
from ..network.inside import socket_in
from ..plan.launch import Ground, exec_process
from ..stack.model import ExecProbe, Healthcheck, HttpProbe, Service, TcpProbe
from .execs import Execs
from .link import KeeperGone

ENOUGH = 4096
"""Bytes of output or answer that are read (moby keeps as much of a probe's output)."""
ITSELF = "127.0.0.1"


class Probing:
    """Where to probe: a container's network and, for processes, the container itself."""

    def __init__(self, container: str, service: Service, ground: Ground, execs: Execs) -> None:
        self._container = container
        self._service = service
        self._ground = ground
        self._execs = execs

    async def probe(self, check: Healthcheck) -> tuple[bool, str]:
        """(healthy, what it said). Never raises for a service that answers badly or not at all, but for one that
        could not be asked: KeeperGone, OSError or OrchestraError."""
        try:
            with anyio.fail_after(check.timeout):
                match check.probe:
                    case HttpProbe(host, port, path):
                        return await self._http(host or ITSELF, port, path)
                    case TcpProbe(host, port):
                        (await self._connect(host or ITSELF, port)).close()
                        return True, "accepts connections"
                    case ExecProbe(args):
                        return await self._exec(args, kill_after=check.timeout)
        except TimeoutError:
            return False, f"no answer within {check.timeout:g} s"
        except KeeperGone:
            raise
        except (OSError, OrchestraError) as error:
            if is_exhausted(error):
                raise
            return False, error.strerror or str(error) if isinstance(error, OSError) else str(error)

    async def _http(self, host: str, port: int, path: str) -> tuple[bool, str]:
        connection = await self._connect(host, port)
        try:
            name = host if port == 80 else f"{host}:{port}"
            ask = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: orchestra\r\nConnection: close\r\n\r\n"
            connection.send(ask.encode())
            answer = b""
            while len(answer) < ENOUGH and (part := await _read(connection)):
                answer += part
        finally:
            connection.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        words = head.partition(b"\r\n")[0].split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit() or len(words[1]) != 3:
            return False, "the answer is not HTTP"
        status = int(words[1])
        said = body[:200].decode(errors="replace").strip()
        return 200 <= status < 400, f"HTTP {status}" + (f": {said}" if status >= 400 and said else "")

    async def _connect(self, host: str, port: int) -> socket.socket:
        connection = await anyio.to_thread.run_sync(self._socket)
        try:
            connection.setblocking(False)
            result = connection.connect_ex((host, port))
            if result == errno.EINPROGRESS:
                await anyio.wait_writable(connection)
                result = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if result:
                raise OSError(result, os.strerror(result).lower())
        except BaseException:
            connection.close()
            raise
        return connection

    def _socket(self) -> socket.socket:
        if self._ground.net_pin:
            return socket_in(self._ground.net_pin, socket.AF_INET, socket.SOCK_STREAM)
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    async def _exec(self, args: tuple[str, ...], kill_after: float) -> tuple[bool, str]:
        output, its_output = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        try:
            # The other end blocks: a program does not expect EAGAIN from its standard output.
            os.set_blocking(its_output, True)
            os.fchmod(its_output, 0o622)  # so that it can be opened again as /dev/stdout
            process = exec_process(self._service, self._ground.path, self._ground.hostname, args)
            fds = [nothing, its_output, its_output]
            name = await self._execs.probe(self._container, process, self._ground.seccomp, fds, kill_after)
            try:
                os.close(its_output)
                its_output = -1
                said = bytearray()
                async with anyio.create_task_group() as beside:
                    beside.start_soon(_drain, output, said)
                    ended = await self._execs.ended(name)  # of the process: others may hold its output open
                    beside.cancel_scope.cancel()
                _take(output, said)
            finally:
                self._execs.forget(name)  # where time was over before its end was told
        finally:
            for descriptor in (output, its_output, nothing):
                if descriptor >= 0:
                    os.close(descriptor)
        text = said.decode(errors="replace").strip()
        if ended.timed_out:
            return False, f"no end within {kill_after:g} s"
        if ended.code is None:
            raise KeeperGone
        return ended.code == 0, text or f"exit code {ended.code}"


async def _read(connection: socket.socket) -> bytes:
    while True:
        await anyio.wait_readable(connection)
        try:
            return connection.recv(ENOUGH)
        except BlockingIOError:
            continue


async def _drain(descriptor: int, kept: bytearray) -> None:
    """Take all that is written until everybody has closed the other end; the first few kilobytes of it are kept."""
    while True:
        await anyio.wait_readable(descriptor)
        if not _take(descriptor, kept):
            return


def _take(descriptor: int, kept: bytearray) -> bool:
    """What is there now; False at the end."""
    try:
        part = os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return True
    kept += part[: ENOUGH - len(kept)]
    return bool(part)
