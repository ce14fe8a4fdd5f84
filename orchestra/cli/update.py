"""`orchestra update`: other limits for what runs, as `docker update` has them, and bandwidth."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from orchestra.errors import OrchestraError
from orchestra.stack import units
from orchestra.stack.model import Restart
from orchestra.wire.codec import encode

from .listen import listen
from .options import Asked, project_options, services_argument
from .progress import progress
from .project import find, need_services
from .queue import turn
from .reach import connect
from .steps import Step

LIFT = "none"
POLICY = re.compile(r"(no|always|unless-stopped|on-failure)(?::([0-9]{1,9}))?")


@click.command()
@services_argument
@click.option("-m", "--memory", metavar="SIZE", help="Most memory: 256m, 1g; none lifts it.")
@click.option("--memory-swap", metavar="SIZE", help="Memory and swap together; -1: any amount of swap.")
@click.option("--memory-reservation", metavar="SIZE", help="Memory that is left to it when it becomes scarce.")
@click.option("--cpus", metavar="NUMBER", help="Processors: 0.5, 2; none lifts it.")
@click.option("-c", "--cpu-shares", metavar="NUMBER", help="Weight beside others, 1024 by default.")
@click.option("--cpu-quota", metavar="MICROSECONDS", help="Instead of --cpus: time in each period.")
@click.option("--cpu-period", metavar="MICROSECONDS", help="Length of a period.")
@click.option("--cpuset-cpus", metavar="LIST", help="On these processors only: 0-1,3; none lifts it.")
@click.option("--pids-limit", metavar="NUMBER", help="Most processes; -1: any number.")
@click.option("--network-ingress", metavar="RATE", help="Most that comes in: 10mbit; none lifts it.")
@click.option("--network-egress", metavar="RATE", help="Most that goes out.")
@click.option("--restart", metavar="POLICY", help="no, always, on-failure[:N] or unless-stopped.")
@project_options()
@click.pass_obj
def command(asked: Asked, /, services: tuple[str, ...], **options: str | None) -> int:
    """Change limits of services that run, at once and without a restart.

    It holds through restarts, until `up` finds something new about the service in the stack file, or is told to
    --force-recreate: then the file counts.
    """
    if asked.dry_run:
        raise OrchestraError("update has no --dry-run", "leave it out")
    if not services:
        raise OrchestraError("update whom?", "name the services, as in: orchestra update --memory 256m cart")
    limits = {field: read(name, options[name]) for name, (field, read) in FIELDS.items() if options[name] is not None}
    policy = restart(options["restart"])
    if not limits and policy is None:
        raise OrchestraError("nothing to update was given", "orchestra update --help")
    places = find(asked)
    with turn(places, "update") as held, connect(places, changes=True) as connection:
        need_services(asked, services, connection.call({"do": "status"})["rows"])
        request = {"do": "update", "services": list(services), "limits": limits, "restart": encode(policy)}
        show = progress(asked.progress, "update", "running")
        try:
            for name in listen(connection, connection.send(request), show, held)["updated"]:
                show.changed(name, Step("Updated", "done"))
        finally:
            show.close()
    return 0


def restart(text: str | None) -> Restart | None:
    if text is None:
        return None
    match = POLICY.fullmatch(text)
    if not match or (match[2] and match[1] != "on-failure"):
        raise OrchestraError(f"--restart {text}: no such policy", "use no, always, on-failure[:N] or unless-stopped")
    return Restart(match[1], int(match[2]) or None if match[2] else None)  # type: ignore[arg-type]


def _read(parse: Callable[[str], Any], expected: str) -> Callable[[str, str | None], Any]:
    def read(name: str, text: str | None) -> Any:
        if text is None or text == LIFT:
            return None
        value = parse(text)
        if value is None:
            option = name.replace("_", "-")
            raise OrchestraError(f"--{option} {text}: not {expected}", f"or {LIFT}, which lifts the limit")
        return value

    return read


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?[0-9]{1,15}", text) else None


def _number(text: str) -> float | None:
    return (float(text) or None) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,9})?", text) else None


def _swap(text: str) -> int | None:
    return -1 if text == "-1" else units.size(text)


def _rate(text: str) -> int | None:
    from orchestra.stack.limits import LEAST_RATE, MOST_RATE

    bits = units.rate(text)
    return bits if bits is not None and LEAST_RATE <= bits <= MOST_RATE else None


_SIZE = _read(units.size, "a size like 256m or 1g")
_WHOLE = _read(_whole, "a whole number")
_BANDWIDTH = _read(_rate, "a rate like 10mbit, from 64kbit to 34gbit")
FIELDS: dict[str, tuple[str, Callable[[str, str | None], Any]]] = {
    "memory": ("memory", _SIZE),
    "memory_swap": ("memory_swap", _read(_swap, "a size like 512m, or -1")),
    "memory_reservation": ("memory_reservation", _SIZE),
    "cpus": ("cpus", _read(_number, "a number like 0.5")),
    "cpu_shares": ("cpu_shares", _WHOLE),
    "cpu_quota": ("cpu_quota", _WHOLE),
    "cpu_period": ("cpu_period", _WHOLE),
    "cpuset_cpus": ("cpuset", _read(str, "a list like 0-1")),
    "pids_limit": ("pids", _WHOLE),
    "network_ingress": ("ingress", _BANDWIDTH),
    "network_egress": ("egress", _BANDWIDTH),
}
