"""The files in a container's /etc that say who is who: hosts, hostname, resolv.conf (hosts(5), resolv.conf(5))."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..stack.model import Service

LOCALHOST = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
WITHOUT_ADDRESS = "127.0.1.1"
"""Where the own name of who has no address leads, as on a Debian without a network (Debian Reference, 5.1.1)."""


def hosts(
    hostname: str,
    service: Service,
    addresses: Mapping[str, str],
    host_gateway: str | None,
    machine: str = LOCALHOST,
) -> str:
    """`addresses`: network -> own address; `host_gateway`: what "host-gateway" in extra_hosts stands for; `machine`:
    what the file says of others, which is what the machine's says where its network is used."""
    lines = machine.splitlines()
    if addresses:
        lines += [f"{address}\t{hostname}" for address in dict.fromkeys(addresses.values())]
    elif not any(hostname in line.partition("#")[0].split()[1:] for line in lines):
        lines.append(f"{WITHOUT_ADDRESS}\t{hostname}")
    for name, address in service.extra_hosts:
        real = host_gateway if address == "host-gateway" else address
        if real:
            lines.append(f"{real}\t{name}")
    return "\n".join(lines) + "\n"


def resolv_conf(service: Service, nameservers: Sequence[str]) -> str:
    """`nameservers`: the gateways that answer for the networks of the container; `dns:` is asked by those."""
    options = ["ndots:0", *service.dns_opt] if nameservers else list(service.dns_opt)
    return _text([*_nameservers(nameservers), *_search(service.dns_search), *_options(options)])


def resolv_conf_of_machine(service: Service, machine: str) -> str:
    """The machine's, whose network the service uses, less what the service says itself."""
    said = {
        "nameserver": _nameservers(service.dns),
        "search": _search(service.dns_search),
        "domain": _search(service.dns_search),
        "options": _options(service.dns_opt),
    }
    lines = machine.splitlines()
    kept = [line for line in lines if not ((words := line.split()) and said.get(words[0]))]
    return _text([*kept, *said["nameserver"], *said["search"], *said["options"]])


def _nameservers(addresses: Sequence[str]) -> list[str]:
    return [f"nameserver {address}" for address in addresses]


def _search(domains: Sequence[str]) -> list[str]:
    return [f"search {' '.join(domains)}"] if domains else []


def _options(options: Sequence[str]) -> list[str]:
    return [f"options {' '.join(options)}"] if options else []


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
