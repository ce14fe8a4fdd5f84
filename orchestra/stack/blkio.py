"""`blkio_config`: weights and rates of disks. Which numbers a disk has is looked up at each launch."""

from __future__ import annotations

from typing import Any

from orchestra.stack.model import BlockIO, OfDevice
from orchestra.stack.problems import Path
from orchestra.stack.scope import Scope, without_extensions

WEIGHTS = (10, 1000)


def canonical(value: dict[str, Any], path: Path, scope: Scope) -> dict[str, Any]:
    """Rates are sizes, also those of operations, and keys are capitals: that is what docker compose prints."""
    found: dict[str, Any] = {}
    for key, entry in without_extensions(value).items():
        at = (*path, key)
        if key == "weight":
            found[key] = scope.integer(entry, at, *WEIGHTS)
            continue
        found[key] = []
        for index, one in enumerate(entry):
            if not isinstance(one, dict) or not one.get("path"):
                scope.report.problem((*at, index), "which device? (say path: /dev/…)")
                continue
            amount = "weight" if key == "weight_device" else "rate"
            read = scope.integer(one.get(amount), (*at, index, amount), *WEIGHTS) if amount == "weight" else None
            if amount == "rate":
                read = scope.size(one.get(amount), (*at, index, amount))
            found[key].append({"Path": one["path"], amount.title(): read if amount == "weight" else str(read or 0)})
    return {key: entry for key, entry in found.items() if entry}


def parsed(model: dict[str, Any]) -> BlockIO:
    devices = {
        key: tuple(OfDevice(one["Path"], int(one.get("Rate", one.get("Weight")) or 0)) for one in entries)
        for key, entries in model.items()
        if key != "weight"
    }
    return BlockIO(weight=model.get("weight"), **devices)
