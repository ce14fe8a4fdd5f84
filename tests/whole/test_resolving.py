"""Names and addresses of elsewhere, as containers ask for them: who has a way out is answered, and nobody else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .stage import Stage, idle, py, until
from .world import Outside, outside

pytestmark = pytest.mark.kernel
OUTER = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 53))
heard = open(sys.argv[1] if sys.argv[1:] else "/dev/null", "a", buffering=1)
while True:
    data, who = server.recvfrom(4096)
    at, labels = 12, []
    while data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode())
        at += 1 + data[at]
    heard.write(".".join(labels) + "\\n")
    answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\6\\6\\6\\6"
    server.sendto(data[:2] + b"\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0" + data[12 : at + 5] + answer, who)
"""
ASK_EACH = """
import json, socket, struct, sys
servers = [line.split()[1] for line in open("/etc/resolv.conf") if line.startswith("nameserver")]
name = b"".join(bytes((len(part),)) + part.encode() for part in sys.argv[1].split(".")) + b"\\0"
codes = []
for server in servers:
    for kind in map(int, sys.argv[2:]):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(4)
            question = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + name + struct.pack(">2H", kind, 1)
            asker.sendto(question, (server, 53))
            codes.append(asker.recv(4096)[3] & 15)
print(json.dumps([len(servers), codes]))
"""
NAME_OF = "import socket, sys; print(socket.gethostbyaddr(sys.argv[1])[0])"
A, MX, PTR, TXT, AAAA, ANY = 1, 15, 12, 16, 28, 255
NOERROR, NXDOMAIN = 0, 3


class Town:
    """Stack `t` with containers on internal networks, its own and an external one, on others, and on both kinds."""

    def __init__(self, stage: Stage, neighbour: Outside) -> None:
        self.stage = stage
        self.heard = stage.work / "heard"
        self.heard.touch()
        words = ["nsenter", f"--net=/proc/{neighbour.pid}/ns/net", sys.executable, "-c", OUTER, str(self.heard)]
        neighbour.started.append(subprocess.Popen(words))
        until(lambda: ":53 " in neighbour.run("ss", "-Hlun"), "the outer resolver listens")
        dns = {"dns": [neighbour.address]}
        stage.ok("network", "create", "--internal", "hidden")
        stage.up(
            {
                "in": idle(networks={"inside": {"aliases": ["db"]}}, **dns),
                "within": idle(network_mode="service:in", **dns),
                "other": idle(networks={"inside": {"aliases": ["db", "in"]}}, **dns),
                "asks": idle(networks=["inside"], dns=["10.231.80.53"]),
                "answers": py(OUTER, networks={"inside": {"ipv4_address": "10.231.80.53"}}),
                "hidden": idle(networks=["hidden"], **dns),
                "twice": idle(networks=["hidden", "inside"], **dns),
                "both": idle(networks=["inside", "out"], **dns),
            },
            networks={
                "inside": {"internal": True, "ipam": {"config": [{"subnet": "10.231.80.0/20"}]}},
                "out": {},
                "hidden": {"external": True},
            },
        )

    def ask(self, service: str, name: str, *kinds: int) -> tuple[int, list[int]]:
        """How many resolvers a container has, and what each says to each kind of question."""
        said = self.stage.ok("exec", "-T", service, "python3", "-c", ASK_EACH, name, *map(str, kinds))
        servers, codes = json.loads(said)
        return servers, codes


@pytest.fixture(scope="module")
def town(shared: Stage) -> Iterator[Town]:
    with outside() as neighbour:
        yield Town(shared, neighbour)
        shared.ok("down", "-t", "0")
        shared.ok("network", "rm", "hidden")


@pytest.mark.parametrize("service", ["in", "within", "hidden", "twice"])
def test_nobody_outside_is_asked_for_who_has_no_way_out(town: Town, service: str) -> None:
    """Whatever is asked of whichever resolver, by a name or by an address; the answer comes at once."""
    servers, codes = town.ask(service, f"{service}.stolen.example", A, AAAA, MX, TXT, ANY)
    assert codes == [NXDOMAIN] * 5 * servers
    assert town.ask(service, "6.6.6.6.in-addr.arpa", PTR)[1] == [NXDOMAIN] * servers
    assert "stolen" not in town.heard.read_text()
    assert "arpa" not in town.heard.read_text()


def test_a_resolver_of_the_internal_network_is_asked(town: Town) -> None:
    """`dns:` names a container there; it is the network that has no way out."""
    until(lambda: town.ask("asks", "own.example", A)[1] == [NOERROR], "it answers")
    assert town.ask("in", "own.example", A)[1] == [NXDOMAIN]
    assert town.ask("asks", "other", A)[1] == [NOERROR]


def test_names_of_services_are_answered_without_a_way_out(town: Town) -> None:
    """As everywhere."""
    assert town.ask("in", "other", A, AAAA)[1] == [NOERROR] * 2
    assert set(town.ask("twice", "other", A)[1]) == {NOERROR}


def test_who_has_a_way_out_too_is_answered_by_all_of_its_resolvers(town: Town) -> None:
    """Also by the one of the internal network."""
    assert town.ask("both", "fine.example", A) == (2, [NOERROR] * 2)
    assert town.heard.read_text().count("fine.example") == 2


def test_an_address_leads_to_its_services_own_name(town: Town) -> None:
    """Not to an alias that others have too, nor to an alias that is another service's name."""
    for service in ("in", "other"):
        address = town.stage.inside(service, "hostname -I").split()[0]
        assert town.stage.ok("exec", "-T", "both", "python3", "-c", NAME_OF, address).strip() == service


def test_an_address_of_the_subnet_that_nobody_has_is_not_asked_for_outside(town: Town) -> None:
    """However large the subnet is."""
    before = Path(town.heard).read_text()
    assert set(town.ask("both", "9.95.231.10.in-addr.arpa", PTR)[1]) == {NXDOMAIN}
    assert town.heard.read_text() == before
