"""What is known of all stacks at this moment: what the pages show. Changes go to the feed as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from ..plan.levels import level_of
from ..plan.masking import masked_text
from ..stack.model import ExecProbe, Healthcheck, HttpProbe, Service, Stack
from ..wire.api import Event, Row
from ..wire.history import Cause
from .feed import Feed

EVENTS_KEPT = 300
WELL = ("ready", "finished", "stopped")
UNSHOWN = ("logs", "labels", "networks", "mounts")

About = dict[str, Any]


class Board:
    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._abouts: dict[str, About] = {}
        self._rows: dict[str, dict[str, Row]] = {}
        self._causes: dict[str, dict[str, Cause]] = {}  # as the supervisors tell them
        self._told: dict[str, dict[str, Cause]] = {}  # with those of other stacks that they come from
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self._heard: dict[str, int] = {}
        self.stacks: dict[str, Stack] = {}

    def snapshot(self) -> dict[str, Any]:
        """Everything; what a page begins with."""
        return {
            "stacks": {
                name: {
                    **about,
                    "rows": [shown_row(row) for row in self._rows.get(name, {}).values()],
                    "causes": self._told.get(name, {}),
                }
                for name, about in self._abouts.items()
            },
            "events": list(self._events),
        }

    def rows(self, stack: str) -> Mapping[str, Row]:
        return self._rows.get(stack, {})

    def names(self) -> Iterable[str]:
        return self._abouts.keys()

    def unwell(self, stack: str | None = None) -> list[tuple[str, str]]:
        """Stack and service of which a container should be looked at."""
        return sorted(
            {
                (name, row["service"])
                for name, rows in self._rows.items()
                if stack is None or name == stack
                for row in rows.values()
                if level_of(row) == "bad"
            }
        )

    def unreached(self, stack: str | None = None) -> list[str]:
        """Stacks whose supervisor does not answer: nobody knows how they are."""
        return sorted(
            name
            for name, about in self._abouts.items()
            if not about["reachable"] and (stack is None or name == stack)
        )

    # What changes it

    def introduce(self, name: str, about: About, model: Stack) -> None:
        """A stack is there, or something about it has changed."""
        self.stacks[name] = model
        about = {"name": name, "reachable": True, **about, "services": services_of(model)}
        if about != self._abouts.get(name):
            self._abouts[name] = about
            self._feed.publish("stack", about)

    def lose(self, name: str) -> None:
        """Its supervisor does not answer for the moment."""
        if name in self._abouts and self._abouts[name]["reachable"]:
            self._abouts[name] = {**self._abouts[name], "reachable": False}
            self._feed.publish("stack", self._abouts[name])

    def vanish(self, name: str) -> None:
        self._rows.pop(name, None)
        self._causes.pop(name, None)
        self._told.pop(name, None)
        self.stacks.pop(name, None)
        if self._abouts.pop(name, None) is not None:
            self._feed.publish("vanished", {"stack": name})

    def replace(self, name: str, rows: Iterable[Row]) -> None:
        """All containers of a stack anew."""
        fresh = {row["name"]: row for row in rows}
        gone: list[Row] = [{**row, "gone": True} for key, row in self._rows.get(name, {}).items() if key not in fresh]
        self.change(name, [*gone, *fresh.values()])

    def change(self, name: str, rows: Iterable[Row]) -> None:
        """Some containers have changed."""
        known = self._rows.setdefault(name, {})
        fresh = [row for row in rows if row != known.get(row["name"])]
        for row in fresh:
            if row.get("gone"):
                known.pop(row["name"], None)
            else:
                known[row["name"]] = row
        if fresh:
            self._feed.publish("rows", {"stack": name, "rows": [shown_row(row) for row in fresh]})

    def explain(self, name: str, causes: Iterable[Cause]) -> None:
        """Why services of a stack are not well; also those of other stacks that use them."""
        self._causes[name] = {cause["service"]: cause for cause in causes if cause["kind"] not in WELL}
        users = (user["stack"] for user in self._abouts.get(name, {}).get("used_by", ()))
        for stack in (name, *users):
            told = {service: self._joined(stack, cause) for service, cause in self._causes.get(stack, {}).items()}
            if stack in self._abouts and told != self._told.get(stack, {}):
                self._told[stack] = told
                self._feed.publish("causes", {"stack": stack, "causes": told})

    def _joined(self, stack: str, cause: Cause) -> Cause:
        """A cause that goes on in another stack, whose service this one waits for."""
        if cause["kind"] != "waiting":
            return cause
        blocked = [self._joined(stack, below) for below in cause["blocked_by"]]
        waits = self._rows.get(stack, {}).get(cause["container"])
        for service in waits["waits_for"] if waits and not blocked else ():
            for use in self._abouts.get(stack, {}).get("uses", ()):
                theirs = self._causes.get(use["owner"], {}).get(use["owned"]) if use["service"] == service else None
                if theirs is not None:
                    blocked.append({**theirs, "stack": use["owner"]})  # type: ignore[typeddict-unknown-key]
        return {**cause, "blocked_by": blocked}

    def heard(self, name: str) -> int | None:
        """The last event of a stack that is known; None: no event of it is."""
        return self._heard.get(name)

    def happened(self, name: str, event: Event) -> None:
        self._heard[name] = event["id"]
        told = {"stack": name, **event}
        self._events.append(told)
        self._feed.publish("event", told)


def shown_row(row: Row) -> dict[str, Any]:
    """With its level; without where things lie on this machine, and without secrets."""
    kept = {key: value for key, value in row.items() if key not in UNSHOWN}
    return {**kept, "command": masked_text(row["command"]), "level": level_of(row)}


def services_of(stack: Stack) -> dict[str, Any]:
    """What a page shows of each service beside its containers: nothing that could be secret."""
    return {name: _service(service) for name, service in stack.services.items()}


def _service(service: Service) -> dict[str, Any]:
    return {
        "scale": service.scale,
        "depends_on": [
            {"service": need.service, "condition": need.condition, "required": need.required}
            for need in service.depends_on
        ],
        "networks": [join.network for join in service.networks],
        "network_mode": service.network_mode,
        "healthcheck": _probe(service.healthcheck),
        "restart": service.restart.policy,
        "on_unhealthy": service.on_unhealthy,
        "limits": {"cpus": service.limits.cpus, "memory": service.limits.memory, "pids": service.limits.pids},
        "volumes": [mount.source for mount in service.mounts if mount.type == "volume"],
    }


def _probe(check: Healthcheck | None) -> str:
    """`http :8080/health every 2 s`."""
    if check is None:
        return ""
    probe = check.probe
    if isinstance(probe, ExecProbe):
        what = masked_text(" ".join(probe.args))
    else:
        what = f"http {probe.host}:{probe.port}{probe.path}" if isinstance(probe, HttpProbe) else f"tcp {probe.port}"
    return f"{what} every {check.interval:g} s"
