"""`orchestra alerts [ls|test]`: what is wrong, who is told, and whether telling works."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from orchestra.wire.terminal import line

from .console import echo, echo_lines
from .options import Asked, project_options
from .past import clock
from .project import find
from .reach import connect
from .table import table

DAY = 86400.0


@click.command()
@click.argument("action", type=click.Choice(["ls", "test"]), default="ls")
@click.argument("receiver", required=False)
@click.option("--json", "as_json", is_flag=True, help="The whole answer as one JSON object.")
@project_options(at_command=True)
@click.pass_obj
def command(asked: Asked, action: str, receiver: str | None, as_json: bool) -> int:
    """List alerts, rules and receivers, or send a test to the receivers (or one of them)."""
    with connect(find(asked)) as connection:
        if action == "test":
            told = connection.call({"do": "alert_test", "receiver": receiver})
        else:
            told = connection.call({"do": "alerts", "start": time.time() - DAY})
    if as_json:
        echo(json.dumps({key: value for key, value in told.items() if key not in ("re", "done")}))
    elif action == "test":
        for one in told["results"]:
            echo(f"{one['name']} ({one['host']}): sent" if one["ok"] else one["text"])
    else:
        echo_lines(listed(told))
    return 1 if action == "test" and not all(one["ok"] for one in told["results"]) else 0


def listed(told: dict[str, Any]) -> str:
    """Alerts of the last day, then rules, then who is told."""
    parts = []
    if told["alerts"]:
        rows = [
            [
                "firing" if one["resolved"] is None else "over",
                one["rule"],
                one["container"],
                clock(one["since"]),
                "" if one["resolved"] is None else clock(one["resolved"]),
                one["text"] + (f" (not told: {one['failed']})" if one["failed"] else ""),
            ]
            for one in told["alerts"]
        ]
        parts.append(table(["STATE", "RULE", "CONTAINER", "SINCE", "UNTIL", "WHAT"], rows))
    else:
        parts.append("no alerts in the last day")
    rows = [[one["name"], one["text"], ", ".join(one["services"] or ["all"])] for one in told["rules"]]
    parts.append(table(["RULE", "FIRES WHEN", "SERVICES"], rows))
    receivers = ", ".join(f"{one['name']} ({one['host']}, {one['format']})" for one in told["receivers"])
    parts.append(line(f"told: {receivers or 'nobody (x-alerts: receivers: in the stack file)'}"))
    return "\n".join(parts)
