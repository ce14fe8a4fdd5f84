"""Which events somebody asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..values import dataclass
from ..wire.api import Event

MOST = 10_000
"""Events that one answer may have."""


@dataclass(frozen=True, slots=True)
class Sought:
    """As in `wire.api.EventsRequest`; an empty tuple asks for all."""

    since: float | None = None
    until: float | None = None
    services: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    search: str = ""
    before: int | None = None
    after: int | None = None
    limit: int = MOST

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Sought:
        return cls(
            since=message.get("since"),
            until=message.get("until"),
            services=tuple(message.get("services") or ()),
            containers=tuple(message.get("containers") or ()),
            actions=tuple(message.get("actions") or ()),
            search=str(message.get("search") or ""),
            before=message.get("before"),
            after=message.get("after"),
            limit=max(1, min(int(message.get("limit") or MOST), MOST)),
        )

    def matches(self, event: Event) -> bool:
        return (
            (self.since is None or event["time"] >= self.since)
            and (self.until is None or event["time"] <= self.until)
            and (not self.services or event["service"] in self.services)
            and (not self.containers or event["container"] in self.containers)
            and (not self.actions or kind_of(event["action"]) in self.actions or event["action"] in self.actions)
            and (self.before is None or event["id"] < self.before)
            and (self.after is None or event["id"] > self.after)
            and self._found(event)
        )

    def _found(self, event: Event) -> bool:
        needle = self.search.lower()
        return not needle or any(
            needle in text.lower() for text in (event["text"], event["container"], event["action"])
        )


def kind_of(action: str) -> str:
    """`health_status: healthy` and its like are of one kind."""
    return action.partition(":")[0]
