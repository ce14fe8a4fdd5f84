"""How a container's row is put: docker's phrases for age and status (docker/go-units, docker/cli), and labels."""

from __future__ import annotations

from orchestra.plan import spelling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OWN_WORDS = ("waiting", "stopping", "going")
ALIVE = ("running", "paused", "stopping", "restarting")
Row = dict[str, "Any"]


def age(seconds: float) -> str:
    """`About a minute`, `3 hours`: HumanDuration of docker/go-units."""
    seconds = max(0, int(seconds))
    minutes, hours = seconds // 60, round(seconds / 3600)
    if seconds < 1:
        return "Less than a second"
    if seconds == 1:
        return "1 second"
    if seconds < 60:
        return f"{seconds} seconds"
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{hours // 24 // 365} years"


def ago(then: float | None, now: float) -> str:
    return f"{age(now - then)} ago" if then is not None else ""


def status(row: Row, now: float) -> str:
    """The STATUS column: `Up 3 minutes (healthy)`, `Exited (1) 5 minutes ago`, `Restarting (137) 2 seconds ago`."""
    state, code = row["state"], row["exit_code"]
    shown = "?" if code is None else code
    if state in ("running", "paused", "stopping"):
        health = {"": "", "starting": " (health: starting)"}.get(row["health"], f" ({row['health']})")
        if state == "paused":
            return f"Up {age(now - (row['started'] or now))} (Paused)"
        stopping = " (stopping)" if state == "stopping" else ""
        return f"Up {age(now - (row['started'] or now))}{health}{stopping}"
    if state == "restarting":
        return f"Restarting ({shown}) {ago(row['ended'], now)}".rstrip()
    if state in ("exited", "dead"):
        word = "Exited" if state == "exited" else "Failed"
        return f"{word} ({shown}) {ago(row['ended'], now)}".rstrip()
    if state == "waiting":
        return f"Waiting: {cause(row)}" if cause(row) else "Waiting"
    return "Created"


def cause(row: Row) -> str:
    """`why` without the state's own word in front of it."""
    why = str(row["why"])
    for word in OWN_WORDS:
        if why == word or why.startswith(f"{word}: "):
            return why[len(word) + 2 :]
    return why


def restarts(row: Row, now: float) -> str:
    """`3 (killed by SIGKILL, 2 seconds ago)`, or nothing."""
    if not row["restarts"]:
        return ""
    last = ", ".join(filter(None, (row["last_exit"], ago(row["ended"], now))))
    return f"{row['restarts']} ({last})" if last else str(row["restarts"])


def published(row: Row) -> list[Row]:
    """Its ports while somebody answers there; of what has ended docker shows none."""
    return list(row["ports"]) if row["state"] in ALIVE else []


def ports(row: Row) -> str:
    """`0.0.0.0:8080->80/tcp, [::]:8080->80/tcp`, in docker's order and spelling (DisplayablePorts of docker/cli).

    Neighbours are one: `0.0.0.0:9000-9002->9000-9002/tcp`.
    """
    runs: list[list[Any]] = []  # host, first outside, first inside, protocol, how many
    for port in published(row):
        for address in addresses(port):
            host = f"[{address}]" if ":" in address else address
            outside, inside, protocol, count = (port["host_port"], port["port"], port["protocol"], how_many(port))
            before = [host, outside, inside, protocol]
            run = next((run for run in runs if [run[0], run[1] + run[4], run[2] + run[4], run[3]] == before), None)
            if run is None:
                runs.append([*before, count])
            else:
                run[4] += count
    return ", ".join(_ports(*run) for run in runs)


def addresses(port: Row) -> list[str]:
    """Of this machine, at which it is published; a long range is on IPv4 only."""
    if port["host_ip"]:
        return [port["host_ip"]]
    return ["0.0.0.0", "::"] if how_many(port) == 1 else ["0.0.0.0"]


def how_many(port: Row) -> int:
    """A supervisor of an older version knows no long ranges."""
    return int(port.get("count", 1))


def _ports(host: str, outside: int, inside: int, protocol: str, count: int) -> str:
    return f"{host}:{spelling.ports(outside, count)}->{spelling.ports(inside, count)}/{protocol}"


def label(stack: str, row: Row) -> str:
    """`cart-1`: what stands before a log line; a container_name is shown as it is."""
    name = str(row["name"])
    return name.removeprefix(f"{stack}-") if row["service"] in name else name
