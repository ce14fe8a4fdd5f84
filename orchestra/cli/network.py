"""`orchestra network`: external networks, which belong to no stack; the words are docker's."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import click

from orchestra.errors import OrchestraError
from orchestra.places import Home
from orchestra.plan.addresses import mac_of
from orchestra.state import externals
from orchestra.values import dataclass

from ..wire import compact
from .asking import agreed, each_of
from .console import echo, echo_lines
from .filters import fits, has_label, labels_of, spelled, truth
from .ls import answers
from .options import Asked, project_options
from .table import table


@dataclass(frozen=True, slots=True)
class Listed:
    """A network as it is shown, a stack's own or an external one."""

    name: str
    id: str
    subnet: str
    gateway: str
    internal: bool
    labels: Mapping[str, str]
    created: float | None
    members: Mapping[str, str]  # "STACK/CONTAINER" -> address
    stack: str  # which it belongs to, "" for an external one


@click.group()
def command() -> None:
    """Networks that stacks share: `networks: {NAME: {external: true}}`."""


@command.command()
@click.argument("name")
@click.option("--subnet", metavar="CIDR", help="Instead of a free one.")
@click.option("--gateway", metavar="ADDRESS", help="Instead of the first address.")
@click.option("--internal", is_flag=True, help="Without a way out.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Repeat for more.")
@click.option("-d", "--driver", type=click.Choice(["bridge"]), default="bridge", hidden=True)
@click.option("--attachable", is_flag=True, hidden=True)
@project_options()
@click.pass_obj
def create(asked: Asked, /, name: str, labels: tuple[str, ...], **options: Any) -> None:
    """Make a network; stacks that say `external: true` join it."""
    home = asked.home()
    if owned := next((one for one in _of_stacks(home) if one.name == name), None):
        raise OrchestraError(f"network {name} exists already: it is of stack {owned.stack}", "choose another name")
    made = externals.create(home, name, options["subnet"], options["gateway"], options["internal"], labels_of(labels))
    echo(made.id)


@command.command("ls")
@click.option("-q", "--quiet", is_flag=True, help="Ids only.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="name, id, label, driver or dangling.")
@click.option("--format", "shape", type=click.Choice(["table", "json"]), default="table")
@click.option("--no-trunc", is_flag=True, hidden=True)
@project_options()
@click.pass_obj
def list_(asked: Asked, /, quiet: bool, filters: tuple[str, ...], shape: str, no_trunc: bool) -> None:
    """List networks, also those of stacks that run."""
    found = [one for one in every(asked.home()) if _is_asked_for(one, filters)]
    if quiet:
        lines = [one.id for one in found]
    elif shape == "json":
        lines = [compact.dumps(_line(one)) for one in found]
    else:
        lines = [table(["NETWORK ID", "NAME", "DRIVER", "SCOPE"], [[o.id, o.name, "bridge", "local"] for o in found])]
    for line in lines:
        echo_lines(line)


def _is_asked_for(one: Listed, filters: tuple[str, ...]) -> bool:
    return fits(
        filters,
        {
            "name": lambda text: text in one.name,
            "id": one.id.startswith,
            "label": lambda text: has_label(one.labels, text),
            "driver": lambda text: text == "bridge",
            "scope": lambda text: text == "local",
            "type": lambda text: text == "custom",
            "dangling": lambda text: truth(text, not one.members),
        },
    )


@command.command()
@click.argument("names", nargs=-1, required=True, metavar="NETWORK…")
@project_options()
@click.pass_obj
def inspect(asked: Asked, names: tuple[str, ...]) -> int:
    """Print everything about networks as JSON, with who is in them."""
    known = every(asked.home())
    found = {name: one for name in names for one in known if name in (one.name, one.id)}
    echo_lines(json.dumps([_whole(found[name]) for name in names if name in found], indent=4))
    return each_of([name for name in names if name not in found], _not_found)


def _not_found(name: str) -> None:
    raise OrchestraError(f"no such network: {name}", "orchestra network ls lists them")


@command.command()
@click.argument("names", nargs=-1, required=True, metavar="NETWORK…")
@click.option("-f", "--force", is_flag=True, help="No error for one that does not exist.")
@project_options("-f")
@click.pass_obj
def rm(asked: Asked, names: tuple[str, ...], force: bool) -> int:
    """Remove networks that nobody uses."""
    home = asked.home()
    by_id = {one.id: one.name for one in externals.definitions(home)}

    def remove(name: str) -> None:
        real = by_id.get(name, name)
        if externals.definition(home, real) is None:
            if owned := next((one for one in _of_stacks(home) if real in (one.name, one.id)), None):
                raise OrchestraError(
                    f"cannot remove network {real}: it is of stack {owned.stack}", f"orchestra -p {owned.stack} down"
                )
            if force:
                return
        externals.remove(home, real)
        echo(name)

    return each_of(names, remove)


@command.command()
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="label=KEY", help="Only those with the label.")
@project_options("-f")
@click.pass_obj
def prune(asked: Asked, force: bool, filters: tuple[str, ...]) -> int:
    """Remove all external networks that nobody uses."""
    home = asked.home()
    if not force and not agreed("This will remove all external networks that no stack uses."):
        return 0
    used, gone = externals.used(home), []
    for one in externals.definitions(home):
        if not used.get(one.id) and fits(filters, {"label": lambda text, one=one: has_label(one.labels, text)}):  # type: ignore[misc]
            externals.remove(home, one.name)
            gone.append(one.name)
    if gone:
        echo_lines("Deleted Networks:\n" + "\n".join(gone))
    return 0


def every(home: Home) -> list[Listed]:
    """By name."""
    used = externals.used(home)
    outside = [
        Listed(
            one.name,
            one.id,
            one.subnet,
            one.gateway,
            one.internal,
            one.labels,
            one.created,
            {holder: address for holder, address in used.get(one.id, {}).items() if not holder.endswith("/")},
            "",
        )
        for one in externals.definitions(home)
    ]
    return sorted([*outside, *_of_stacks(home)], key=lambda one: one.name)


def _of_stacks(home: Home) -> list[Listed]:
    """Those that belong to stacks, as their supervisors tell."""
    return [
        Listed(
            name=own["name"],
            id=own["id"],
            subnet=own["subnet"],
            gateway=own["gateway"],
            internal=own["internal"],
            labels=own["labels"],
            created=None,
            members={
                f"{stack}/{row['name']}": row["addresses"][own["key"]]
                for row in answer["rows"]
                if own["key"] in row["addresses"]
            },
            stack=stack,
        )
        for stack, answer in answers(home).items()
        if answer is not None
        for own in answer.get("own_networks", ())
    ]


def _line(one: Listed) -> dict[str, str]:
    """The keys of `docker network ls --format json`."""
    return {
        "CreatedAt": _stamp(one.created, "%Y-%m-%d %H:%M:%S %z %Z"),
        "Driver": "bridge",
        "ID": one.id,
        "IPv4": "true",
        "IPv6": "false",
        "Internal": "true" if one.internal else "false",
        "Labels": spelled(one.labels),
        "Name": one.name,
        "Scope": "local",
    }


def _whole(one: Listed) -> dict[str, Any]:
    """The keys of `docker network inspect`; then the stack that it belongs to."""
    prefix = one.subnet.partition("/")[2]
    return {
        "Name": one.name,
        "Id": one.id,
        "Created": _stamp(one.created, "%Y-%m-%dT%H:%M:%S%z"),
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": [{"Subnet": one.subnet, "Gateway": one.gateway}]},
        "Internal": one.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {
            holder.partition("/")[2]: {
                "Name": holder.partition("/")[2],
                "EndpointID": "",
                "MacAddress": mac_of(address),
                "IPv4Address": f"{address}/{prefix}",
                "IPv6Address": "",
                "Stack": holder.partition("/")[0],
            }
            for holder, address in sorted(one.members.items())
        },
        "Options": {},
        "Labels": dict(one.labels),
        "Stack": one.stack,
    }


def _stamp(moment: float | None, shape: str) -> str:
    return "" if moment is None else time.strftime(shape, time.localtime(moment))
