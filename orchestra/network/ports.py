"""Host ports: holding them, and knowing who else does.

A published port is led to its container by the firewall; a socket is bound to it all the same, so that nobody else
takes it, a conflict is an error at once, and IPv6 (which the firewall does not lead) has somebody to answer.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING

from orchestra.errors import OrchestraError

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_NO_SUCH_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
_LISTEN = "0A"


def hold(host_ip: str, port: int, protocol: str) -> list[socket.socket]:
    """Sockets that reserve the port, non-blocking; a listening one for tcp.

    "" stands for all addresses of both families: two sockets, of which the one for IPv6 is missing where the machine
    has no IPv6.
    """
    addresses = ("0.0.0.0", "::") if host_ip == "" else (host_ip,)
    with contextlib.ExitStack() as undo:
        held = []
        for address in addresses:
            try:
                held.append(undo.enter_context(_bind(address, port, protocol)))
            except OSError as refusal:
                if refusal.errno in _NO_SUCH_FAMILY and host_ip == "" and address == "::":
                    continue
                raise _refused(host_ip, port, protocol, refusal) from refusal
        undo.pop_all()
        return held


def _bind(address: str, port: int, protocol: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, _KINDS[protocol])
    try:
        opened.setblocking(False)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            # Old connections in TIME_WAIT do not matter; for udp it would share the port with others.
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, port))
        if protocol == "tcp":
            opened.listen(512)
    except OSError:
        opened.close()
        raise
    return opened


def _refused(host_ip: str, port: int, protocol: str, refusal: OSError) -> OrchestraError:
    where = f"host port {port}/{protocol}" if host_ip == "" else f"host port {port}/{protocol} on {host_ip}"
    if refusal.errno == errno.EADDRINUSE:
        holder = taken_by(port, protocol) or "somebody"
        return OrchestraError(
            f"cannot publish {where}: it is used by {holder}", "choose another host port or stop it"
        )
    if refusal.errno == errno.EADDRNOTAVAIL:
        return OrchestraError(f"cannot publish {where}: this machine has no such address", "see `ip address`")
    return OrchestraError(f"cannot publish {where}: {refusal.strerror}")


def taken_by(port: int, protocol: str) -> str | None:
    """Who has the host port, for people; None when nobody is found."""
    inodes = {f"socket:[{inode}]" for inode in _inodes(port, protocol)}
    if not inodes:
        return None
    return next(_holders(inodes), "a process that cannot be seen from here")


def _inodes(port: int, protocol: str) -> Iterator[str]:
    """Sockets bound to the port, by the tables of proc_net(5)."""
    for table in (protocol, f"{protocol}6"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/net/{table}") as lines:
            next(lines)
            for line in lines:
                fields = line.split()
                bound = int(fields[1].rpartition(":")[2], 16) == port
                if bound and (protocol == "udp" or fields[3] == _LISTEN):
                    yield fields[9]


def _holders(inodes: set[str]) -> Iterator[str]:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if any(_link(f"/proc/{pid}/fd/{fd}") in inodes for fd in os.listdir(f"/proc/{pid}/fd")):
                yield _holder(pid)


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _holder(pid: str) -> str:
    """A stack is named as such: its keeper and its supervisor hold its ports."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read(200).replace(b"\0", b" ").decode("utf-8", "replace").split()
    if words and words[0] in ("orchestra-keeper", "orchestra-supervisor"):
        return f"stack {words[-1]}"
    return f"{' '.join(words) or 'a process'} (pid {pid})"
