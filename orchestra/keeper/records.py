"""The keeper's memory of its children, one small JSON file each in the run directory.

No fsync: what they speak of ends with the kernel that runs now.
"""

from __future__ import annotations

import sys

from .. import ours
from ..wire.compact import dumps, loads
from ..wire.fits import NUMBER, OPTIONAL_INT, OPTIONAL_NUMBER, fitting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

CHILD = {
    **dict.fromkeys(("name", "cgroup"), str),
    **dict.fromkeys(("run", "pid", "start_time"), int),
    **dict.fromkeys(("started", "wall"), NUMBER),
    **dict.fromkeys(("ended", "ended_wall"), OPTIONAL_NUMBER),
    **dict.fromkeys(("code", "signal"), OPTIONAL_INT),
    "note": {},
    "log": {"directory": str, "max_size": int, "max_files": int},
    "terminal": bool,
}
"""wire.keeping.Child and our own keys."""
SUPERVISOR = {"pid": int, "start_time": int}


def save(directory: str, name: str, record: Record) -> None:
    path = f"{directory}/{name}.json"
    with open(ours.create(path + ".new"), "w") as file:
        file.write(dumps(record))
    ours.put(path + ".new", path)


def remove(directory: str, name: str) -> None:
    ours.clear(f"{directory}/{name}.json")


def load(path: str, shape: Record) -> Record | None:
    """None where there is none, or none that is whole: that one is set aside."""
    content = ours.read(path)
    if content is None:
        return None
    try:
        record: Record = fitting(loads(content.decode()), shape)
    except ours.MALFORMED as error:
        sys.stderr.write(f"keeper: set aside {path}: {error}\n")
        ours.set_aside(path)
        return None
    return record


def load_all(directory: str, cgroups: str) -> list[Record]:
    """Those of containers; each is called as its file is, and of a cgroup below `cgroups`: all in there may be
    killed for it."""
    found = []
    for name in ours.names_in(directory):
        path = f"{directory}/{name}"
        if not name.endswith(".json") or (record := load(path, CHILD)) is None:
            continue
        if name == f"{record['name']}.json" and record["cgroup"] == f"{cgroups}/{record['name']}":
            found.append(record)
        else:
            sys.stderr.write(f"keeper: set aside {path}: it is of something else\n")
            ours.set_aside(path)
    return found
