"""`orchestra inspect`: everything about containers, as JSON."""

from __future__ import annotations

import json
import re
from typing import Any

import click

from orchestra.errors import OrchestraError

from .console import data, echo_lines
from .options import Asked, project_options, without_files
from .project import find
from .reach import at_owner, connect

FIELD = re.compile(r"\{\{\s*(json\s+)?\.([A-Za-z0-9_.]*)\s*\}\}")


def _names(context: click.Context, _: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    return without_files(context, words)


@click.command()
@click.argument("names", nargs=-1, metavar="[SERVICE|CONTAINER]...", callback=_names)
@click.option("--format", "template", metavar="json|TEMPLATE", help="Fields only: '{{.State.Pid}} {{json .Limits}}'.")
@click.option("--env", "environment", is_flag=True, help="The values of the environment as well, not its names only.")
@project_options()
@click.pass_obj
def command(asked: Asked, names: tuple[str, ...], template: str | None, environment: bool) -> None:
    """Show everything about containers: state, health, limits as asked for and as the kernel holds them, security,
    namespaces, mounts, addresses. Secrets are never shown."""
    connection, there = at_owner(connect(find(asked)), asked.home(), names)
    with connection:
        request = {"do": "inspect", "names": there or None, "environment": environment}
        found = connection.call(request)["containers"]
    if template in (None, "json"):
        echo_lines(json.dumps(found, indent=4))
        return
    for one in found:
        data(f"{filled(template, one)}\n")


def filled(template: str, document: dict[str, Any]) -> str:
    """The fields of a template; of Go's templates only these two forms."""
    rest = FIELD.sub("", template)
    if "{{" in rest:
        raise OrchestraError(
            f"--format {template}: not supported", "use {{.Field.Field}} and {{json .Field}}, or no --format at all"
        )
    return FIELD.sub(lambda match: shown(find_field(document, match[2]), as_json=bool(match[1])), template)


def find_field(document: Any, path: str) -> Any:
    for part in filter(None, path.split(".")):
        if not isinstance(document, dict) or part not in document:
            raise OrchestraError(f"--format: there is no field {path}", "orchestra inspect shows them all")
        document = document[part]
    return document


def shown(value: Any, as_json: bool) -> str:
    if as_json or isinstance(value, (dict, list)):
        return json.dumps(value)
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)
