"""A small world for each test: a "host" of its own, a neighbour on its network, and sockets anywhere.

The host is a network namespace into which the test's own thread goes, so that links, routes, sysctls and firewall
are the test's alone; threads and processes that it starts are born there. Servers and clients are sockets of this
process, opened in the namespace where they belong.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from orchestra.network.inside import pin_new_namespace, socket_in, unpin
from orchestra.network.plugs import ensure_plugs
from orchestra.network.routers import ensure_router, remove_router
from orchestra.plan.wiring import Plug, Publication, Router, Uplink

MACHINE = "198.51.100.1"  # documentation range (RFC 5737)
NEIGHBOUR = "198.51.100.2"
PATIENCE = 5.0  # for what should come
BRIEFLY = 0.4  # for what should not

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def host_of_its_own() -> Iterator[None]:
    """Unshare this thread's network, and come back to the machine's afterwards."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    assert _libc.unshare(_CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        assert _libc.setns(home, _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        os.close(home)


def run(*command: str, feed: str | None = None) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, input=feed).stdout


class World:
    """What a test makes, by name; `tear_down` takes it away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.neighbour = f"{folder}/neighbour"
        self.routers: dict[str, Router] = {}
        self.pins: list[str] = [self.neighbour]
        self.sleepers: list[subprocess.Popen[bytes]] = []
        self.sockets: list[socket.socket] = []
        run("ip", "link", "set", "lo", "up")
        pin_new_namespace(self.neighbour)
        run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan0", "netns", self._netns())
        # Its own IPv6 address would come and bring routes at a moment of its choosing.
        run("sysctl", "-qw", "net.ipv6.conf.lan0.disable_ipv6=1")
        run("ip", "address", "add", f"{MACHINE}/24", "dev", "lan0")
        run("ip", "link", "set", "lan0", "up")
        for command in (
            f"ip address add {NEIGHBOUR}/24 dev lan0",
            "ip link set lan0 up",
            "ip link set lo up",
        ):
            self.at_neighbour(*command.split())

    def _netns(self) -> str:
        # `ip ... netns` wants a name or a process.
        sleeper = subprocess.Popen(["nsenter", f"--net={self.neighbour}", "sleep", "60"])
        self.sleepers.append(sleeper)
        while os.readlink(f"/proc/{sleeper.pid}/ns/net") == os.readlink("/proc/thread-self/ns/net"):
            assert sleeper.poll() is None
        return str(sleeper.pid)

    def at_neighbour(self, *command: str) -> str:
        return run("nsenter", f"--net={self.neighbour}", *command)

    def router(self, number: int, *, internal: bool = False) -> Router:
        """Network 10.213.<number>.0/24; `ensure` it to make it."""
        router_id = f"{number:010x}"
        pair = f"169.254.128.{2 * number}", f"169.254.128.{2 * number + 1}"
        uplink = None if internal else Uplink(f"orc{router_id}", *pair)
        pin = f"{self.folder}/router{number}"
        subnet, gateway = f"10.213.{number}.0/24", f"10.213.{number}.1"
        router = Router(router_id, f"test_net{number}", pin, subnet, gateway, uplink)
        self.routers[router_id] = router
        return router

    def made(self, number: int, *, internal: bool = False) -> Router:
        router = self.router(number, internal=internal)
        ensure_router(router)
        return router

    def container(self, name: str) -> str:
        """A network namespace as root makes it; its pin."""
        pin = f"{self.folder}/{name}"
        pin_new_namespace(pin)
        self.pins.append(pin)
        return pin

    def container_of_another_user(self, name: str) -> str:
        """A network namespace that belongs to a user namespace, as a sandbox's does."""
        pin = Path(f"{self.folder}/{name}")
        pin.touch(mode=0o000)
        sleeper = subprocess.Popen(
            ["unshare", "--user", "--net", "--map-root-user", "sh", "-c", "echo made; exec sleep 60"],
            stdout=subprocess.PIPE,
        )
        self.sleepers.append(sleeper)
        assert sleeper.stdout is not None
        assert sleeper.stdout.readline() == b"made\n"
        sleeper.stdout.close()
        run("mount", "--bind", f"/proc/{sleeper.pid}/ns/net", str(pin))
        self.pins.append(str(pin))
        return str(pin)

    def plugged(self, router: Router, *containers: str) -> list[Plug]:
        """Containers .2, .3 and on, made and plugged in."""
        plugs = [plug_of(router, self.container(name), number) for number, name in enumerate(containers, start=2)]
        ensure_plugs(router, plugs)
        return plugs

    def listen(self, pin: str | None, address: str, port: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
        server = self.open(pin, kind)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        if kind == socket.SOCK_STREAM:
            server.listen()
        return server

    def open(self, pin: str | None, kind: int) -> socket.socket:
        opened = socket.socket(socket.AF_INET, kind) if pin is None else socket_in(pin, socket.AF_INET, kind)
        opened.settimeout(PATIENCE)
        self.sockets.append(opened)
        return opened

    def tear_down(self) -> None:
        for opened in self.sockets:
            opened.close()
        for router in self.routers.values():
            remove_router(router)
        for pin in self.pins[1:]:
            unpin(pin)

    def end(self) -> None:
        """Also when the code under test failed: a mount left in pytest's folder is in everybody's way."""
        for mount in reversed(self.mounts()):
            run("umount", "--lazy", mount.split()[1])
        for sleeper in self.sleepers:
            sleeper.kill()
            sleeper.wait()

    def call(self, pin: str | None, where: tuple[str, int], server: socket.socket) -> str:
        """Connect, get an answer from this very server; the address under which it saw the caller."""
        client = self.open(pin, server.type)
        client.connect(where)
        if server.type == socket.SOCK_STREAM:
            served, peer = server.accept()
            with served:
                served.sendall(b"here")
        else:
            client.send(b"hello")
            _, peer = server.recvfrom(100)
            server.sendto(b"here", peer)
        assert client.recv(100) == b"here"
        client.close()
        return str(peer[0])

    def cannot_call(self, pin: str | None, where: tuple[str, int]) -> bool:
        """Whether a TCP connection is refused or gets no answer."""
        client = self.open(pin, socket.SOCK_STREAM)
        client.settimeout(BRIEFLY)
        try:
            client.connect(where)
        except OSError:
            return True
        finally:
            client.close()
        return False

    def mounts(self) -> list[str]:
        lines = Path("/proc/self/mounts").read_text().splitlines()
        return [line for line in lines if f"{self.folder}/" in line]

    def snapshot(self) -> dict[str, object]:
        """The kernel's lists, as far as a network could leave something in them."""
        links = json.loads(run("ip", "-j", "link"))
        return {
            "links": sorted(link["ifname"] for link in links),
            # Whether the link has a carrier already is the kernel's own time.
            "routes": sorted(run("ip", "route", "show", "table", "all").replace("linkdown ", "").splitlines()),
            "nft": run("nft", "list", "ruleset"),
            "mounts": self.mounts(),
            "files": sorted(path.name for path in self.folder.iterdir()),
        }


@contextmanager
def small_world() -> Iterator[World]:
    """A host with a neighbour; whatever the test made of it has to be gone after `remove_router`."""
    # Not pytest's folder for temporary files: a mount that is left there is in the way of other runs.
    with host_of_its_own(), TemporaryDirectory(prefix="orchestra-network-") as folder:
        world = World(Path(folder))
        try:
            before = world.snapshot()
            yield world
            world.tear_down()
            assert world.snapshot() == before
        finally:
            world.end()


def links_inside(pin: str) -> list[tuple[int, str, str, str]]:
    """Index, name, address and bridge of each link: the link itself, whatever its state just now."""
    links = json.loads(run("nsenter", f"--net={pin}", "ip", "-j", "link"))
    return [(link["ifindex"], link["ifname"], link["address"], link.get("master", "")) for link in links]


def plug_of(router: Router, net_pin: str, number: int, interface: str = "eth0") -> Plug:
    prefix = router.subnet.removesuffix("0/24")
    octets = (prefix + str(number)).split(".")
    hexadecimal = "".join(f"{int(octet):02x}" for octet in octets)
    return Plug(
        container=os.path.basename(net_pin),
        net_pin=net_pin,
        router=router.pin,
        interface=interface,
        port=f"v{hexadecimal}",
        address=".".join(octets),
        prefix=24,
        mac="0a:0d:" + ":".join(f"{int(octet):02x}" for octet in octets),
        gateway=router.gateway if router.uplink else None,
    )


def published(router: Router, plug: Plug, host_port: int, port: int, **other: str) -> Publication:
    said = {"owner": "test/web", "host_ip": "", "protocol": "tcp", **other}
    return Publication(**said, host_port=host_port, router=router.id, address=plug.address, port=port)
