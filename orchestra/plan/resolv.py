"""The files in a container's /etc that say who is who: hosts, hostname, resolv.conf (hosts(5), resolv.conf(5))."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..stack.model import Service


def hosts(hostname: str, service: Service, addresses: Mapping[str, str], host_gateway: str | None) -> str:
    """`addresses`: network -> own address; `host_gateway`: what "host-gateway" in extra_hosts stands for."""
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    lines += [f"{address}\t{hostname}" for address in dict.fromkeys(addresses.values())]
    for name, address in service.extra_hosts:
        real = host_gateway if address == "host-gateway" else address
        if real:
            lines.append(f"{real}\t{name}")
    return "\n".join(lines) + "\n"


def resolv_conf(service: Service, nameservers: Sequence[str]) -> str:
    """`nameservers`: the gateways that answer for the networks of the container; `dns:` is asked by those."""
    lines = [f"nameserver {address}" for address in nameservers]
    if service.dns_search:
        lines.append(f"search {' '.join(service.dns_search)}")
    options = ["ndots:0", *service.dns_opt] if nameservers else list(service.dns_opt)
    if options:
        lines.append(f"options {' '.join(options)}")
    return "\n".join(lines) + "\n"
