"""`orchestra volume`: named volumes of all stacks; the words are docker's."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import click

from orchestra.errors import OrchestraError
from orchestra.state import volumes
from orchestra.state.users import check_name
from orchestra.state.volumes import Named

from ..wire import compact
from .asking import agreed, each_of
from .console import echo, echo_lines
from .filters import fits, has_label, labels_of, spelled, truth
from .options import Asked, project_options
from .table import table


@click.group()
def command() -> None:
    """Named volumes, which outlive containers: `volumes: {NAME: {external: true}}` joins one that is there."""


@command.command()
@click.argument("name", required=False)
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Repeat for more.")
@click.option("-d", "--driver", type=click.Choice(["local"]), default="local", hidden=True)
@project_options()
@click.pass_obj
def create(asked: Asked, /, name: str | None, labels: tuple[str, ...], driver: str) -> None:
    """Make a volume; without a name it gets one. One that is there is left as it is."""
    name = name or os.urandom(32).hex()
    volumes.make(asked.home(), name, labels_of(labels))
    echo(name)


@command.command("ls")
@click.option("-q", "--quiet", is_flag=True, help="Names only.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="name, label, driver or dangling.")
@click.option("--format", "shape", type=click.Choice(["table", "json"]), default="table")
@project_options()
@click.pass_obj
def list_(asked: Asked, /, quiet: bool, filters: tuple[str, ...], shape: str) -> None:
    """List volumes."""
    found = [one for one in volumes.listed(asked.home()) if _is_asked_for(one, filters)]
    if quiet:
        lines = [one.name for one in found]
    elif shape == "json":
        lines = [compact.dumps(_line(one)) for one in found]
    else:
        lines = [table(["DRIVER", "VOLUME NAME"], [["local", one.name] for one in found])]
    for line in lines:
        echo_lines(line)


def _is_asked_for(one: Named, filters: tuple[str, ...]) -> bool:
    return fits(
        filters,
        {
            "name": lambda text: text in one.name,
            "label": lambda text: has_label(one.labels, text),
            "driver": lambda text: text == "local",
            "dangling": lambda text: truth(text, not one.users),
        },
    )


@command.command()
@click.argument("names", nargs=-1, required=True, metavar="VOLUME…")
@project_options()
@click.pass_obj
def inspect(asked: Asked, names: tuple[str, ...]) -> int:
    """Print everything about volumes as JSON, with who uses them."""
    found = {one.name: one for one in volumes.listed(asked.home())}
    echo_lines(json.dumps([_whole(found[name]) for name in names if name in found], indent=4))
    return each_of([name for name in names if name not in found], _not_found)


def _not_found(name: str) -> None:
    raise OrchestraError(f"no such volume: {name}", "orchestra volume ls lists them")


@command.command()
@click.argument("names", nargs=-1, required=True, metavar="VOLUME…")
@click.option("-f", "--force", is_flag=True, help="No error for one that does not exist.")
@project_options("-f")
@click.pass_obj
def rm(asked: Asked, names: tuple[str, ...], force: bool) -> int:
    """Remove volumes that nobody uses, with all that is in them."""
    home = asked.home()

    def remove(name: str) -> None:
        check_name("volume", name)
        if not (force and not os.path.isdir(home.volume(name))):
            volumes.remove(home, name)
            echo(name)

    return each_of(names, remove)


@command.command()
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("-a", "--all", "every", is_flag=True, help="Also those that have a name of their own.")
@click.option("--filter", "filters", multiple=True, metavar="label=KEY", help="Only those with the label.")
@project_options("-f")
@click.pass_obj
def prune(asked: Asked, force: bool, every: bool, filters: tuple[str, ...]) -> int:
    """Remove volumes that nobody uses: those without a name, or all of them."""
    home = asked.home()
    which = "volumes" if every else "volumes without a name"
    if not force and not agreed(f"This will remove all {which} that no stack uses."):
        return 0
    gone, size = [], 0
    for one in volumes.listed(home):
        labels = one.labels
        if one.users or not (every or _is_nameless(one)):
            continue
        if fits(filters, {"label": lambda text, labels=labels: has_label(labels, text)}):  # type: ignore[misc]
            size += volumes.size_of(one.folder)
            volumes.remove(home, one.name)
            gone.append(one.name)
    if gone:
        echo_lines("Deleted Volumes:\n" + "\n".join(gone) + "\n")
    echo(f"Total reclaimed space: {_spelled_size(size)}")
    return 0


def _is_nameless(one: Named) -> bool:
    """Named by `volume create` without a name, as docker marks anonymous ones."""
    return len(one.name) == 64 and not set(one.name) - set("0123456789abcdef")


def _line(one: Named) -> dict[str, str]:
    """The keys of `docker volume ls --format json`."""
    return {
        "Availability": "N/A",
        "Driver": "local",
        "Group": "N/A",
        "Labels": spelled(one.labels),
        "Links": "N/A",
        "Mountpoint": one.folder,
        "Name": one.name,
        "Scope": "local",
        "Size": "N/A",
        "Status": "N/A",
    }


def _whole(one: Named) -> dict[str, Any]:
    """The keys of `docker volume inspect`; then the stacks that use it."""
    return {
        "CreatedAt": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(one.created)),
        "Driver": "local",
        "Labels": dict(one.labels),
        "Mountpoint": one.folder,
        "Name": one.name,
        "Options": None,
        "Scope": "local",
        "Stacks": list(one.users),
    }


def _spelled_size(size: float) -> str:
    """As docker: 0B, 12.3kB, 4.5MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.4g}{unit}"
        size /= 1000
    return f"{size:.4g}TB"
