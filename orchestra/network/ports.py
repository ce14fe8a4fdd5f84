"""Host ports: holding them, and knowing who else does.

A published port is led to its container by the firewall; a socket is bound to it all the same, so that nobody else
takes it, a conflict is an error at once, and IPv6 (which the firewall does not lead) has somebody to answer. A long
range has no sockets: it is only looked whether somebody has a port of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING, NamedTuple

from orchestra.errors import OrchestraError
from orchestra.network.incoming import packed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_NO_SUCH_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
_LISTEN, _UNCONNECTED = "0A", "07"  # include/net/tcp_states.h
_EVERY = "0.0.0.0"


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
    where = _where(host_ip, port, protocol)
    if refusal.errno == errno.EADDRINUSE:
        return _is_used(host_ip, port, protocol)
    if refusal.errno == errno.EADDRNOTAVAIL:
        return OrchestraError(f"cannot publish {where}: this machine has no such address", "see `ip address`")
    return OrchestraError(f"cannot publish {where}: {refusal.strerror}")


def _is_used(host_ip: str, port: int, protocol: str) -> OrchestraError:
    holder = taken_by(port, protocol) or "somebody"
    what = f"cannot publish {_where(host_ip, port, protocol)}: it is used by {holder}"
    return OrchestraError(what, "choose another host port or stop it")


def _where(host_ip: str, port: int, protocol: str) -> str:
    return f"host port {port}/{protocol}" + (f" on {host_ip}" if host_ip else "")


def refuse_taken(host_ip: str, first: int, last: int, protocol: str, ours: Collection[int]) -> None:
    """Raises OrchestraError where a socket of this machine, other than ours (by inode), waits at one of the ports for
    whoever comes by IPv4. One of UDP that is connected does not: the firewall leads no answers astray."""
    for bound in _bound(protocol):
        if not first <= bound.port <= last or bound.inode in ours or bound.state not in (_LISTEN, _UNCONNECTED):
            continue
        if _every(bound.address) or (
            len(bound.address) == 4 and host_ip in ("", _EVERY, socket.inet_ntoa(bound.address))
        ):
            raise _is_used(host_ip, bound.port, protocol)


def taken_by(port: int, protocol: str) -> str | None:
    """Who has the host port, for people; None when nobody is found."""
    inodes = {f"socket:[{bound.inode}]" for bound in _bound(protocol) if bound.port == port}
    if not inodes:
        return None
    return next(_holders(inodes), "a process that cannot be seen from here")


class _Bound(NamedTuple):
    address: bytes
    port: int
    state: str
    inode: int


def _bound(protocol: str) -> Iterator[_Bound]:
    """This machine's sockets that keep others from a port, by the tables of proc_net(5)."""
    for table in (protocol, f"{protocol}6"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/net/{table}") as lines:
            next(lines)
            for line in lines:
                _, local, _, state, _, _, _, _, _, inode, _ = line.split(maxsplit=10)
                if protocol == "udp" or state == _LISTEN:
                    address, _, port = local.partition(":")
                    yield _Bound(packed(address), int(port, 16), state, int(inode))


def _every(address: bytes) -> bool:
    """0.0.0.0 or ::, which has IPv4 as well unless it was asked not to (ipv6(7), IPV6_V6ONLY)."""
    return not any(address)


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
