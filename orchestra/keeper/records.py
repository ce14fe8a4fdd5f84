"""The keeper's memory of its children, one small JSON file each in the run directory.

No fsync: what they speak of ends with the kernel that runs now.
"""

from __future__ import annotations

import contextlib
import os
import sys

from ..wire.compact import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]


def save(directory: str, name: str, record: Record) -> None:
    path = f"{directory}/{name}.json"
    with open(path + ".new", "w") as file:
        file.write(dumps(record))
    os.rename(path + ".new", path)


def remove(directory: str, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{directory}/{name}.json")


def load(path: str) -> Record | None:
    """None where there is none, or none that can be read."""
    try:
        with open(path) as file:
            record = loads(file.read())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        sys.stderr.write(f"keeper: set aside {path}: {error}\n")
        os.rename(path, path + ".bad")
        return None
    return record if isinstance(record, dict) else None


def load_all(directory: str) -> list[Record]:
    names = sorted(name for name in os.listdir(directory) if name.endswith(".json"))
    return [record for name in names if (record := load(f"{directory}/{name}")) is not None]
