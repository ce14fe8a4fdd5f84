"""How a container's row is put: docker's phrases for age and status (docker/go-units, docker/cli), and labels."""

from __future__ import annotations

from typing import Any

OWN_WORDS = ("waiting", "stopping", "going")
Row = dict[str, Any]


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
    if state in ("running", "stopping"):
        health = {"": "", "starting": " (health: starting)"}.get(row["health"], f" ({row['health']})")
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
    """`3 (killed by SIGKILL 2 seconds ago)`, or nothing."""
    if not row["restarts"]:
        return ""
    last = " ".join(filter(None, (row["last_exit"], ago(row["ended"], now))))
    return f"{row['restarts']} ({last})" if last else str(row["restarts"])


def ports(row: Row) -> str:
    """`0.0.0.0:8080->80/tcp, [::]:8080->80/tcp`, in docker's order and spelling."""
    shown = []
    for port in row["ports"]:
        for address in [port["host_ip"]] if port["host_ip"] else ["0.0.0.0", "::"]:
            host = f"[{address}]" if ":" in address else address
            shown.append(f"{host}:{port['host_port']}->{port['port']}/{port['protocol']}")
    return ", ".join(shown)


def label(stack: str, row: Row) -> str:
    """`cart-1`: what stands before a log line; a container_name is shown as it is."""
    name = str(row["name"])
    return name.removeprefix(f"{stack}-") if row["service"] in name else name
