"""Probes of a container, summed up by the minute."""

from __future__ import annotations

from ..values import dataclass

MINUTE = 60
TEXT_KEPT = 500


@dataclass(frozen=True, slots=True)
class ProbeSum:
    """`time` is when the minute began (epoch), the rest seconds; `text` is of the last failed one, or the last."""

    time: int
    container: str
    service: str
    count: int = 0
    failed: int = 0
    least: float = 0.0
    total: float = 0.0
    most: float = 0.0
    text: str = ""

    def and_one(self, ok: bool, took: float, text: str) -> ProbeSum:
        return ProbeSum(
            self.time,
            self.container,
            self.service,
            self.count + 1,
            self.failed + (not ok),
            min(self.least, took) if self.count else took,
            self.total + took,
            max(self.most, took),
            self.text if ok and self.failed else text[:TEXT_KEPT],
        )
