"""What reading a stack came to, kept for the next time: a command that finds nothing changed reads no YAML.

A recipe belongs to one wording: the options that choose a stack, the folder, the whole environment, this version of
orchestra. It holds what came out, and a stamp of every path that was looked at, be it there or not. It is good as
long as all of them look the same; whatever else happened, the file is read anew. Losing it costs a moment.
"""

from __future__ import annotations

import os
import stat
import time

from orchestra import __version__, ours
from orchestra.stack.finding import Disk
from orchestra.wire.compact import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from orchestra.stack.files import Loaded

    from .asked import Asked

    Stamp = tuple[int, ...] | None

MOST = 100
TICK_NS = 20_000_000
"""Two changes of a file within one tick of the kernel's clock look alike; a tick is 10 ms at the most."""
READERS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "stack")


class Recipe:
    """`scales`: how many containers of each service; `stack` is encoded, None where only the name was found out."""

    def __init__(
        self, name: str, stack: Any = None, scales: dict[str, int] | None = None,
        disabled: Iterable[str] = (), warnings: Iterable[str] = (),
        directory: str = "", files: Iterable[str] = (),
    ) -> None:  # fmt: skip
        self.name = name
        self.stack = stack
        self.scales = scales or {}
        self.disabled = tuple(disabled)
        self.warnings = tuple(warnings)
        self.directory = directory
        self.files = tuple(files)

    @classmethod
    def of(cls, loaded: Loaded) -> Recipe:
        from orchestra.wire.codec import encode

        stack = loaded.stack
        scales = {name: service.scale for name, service in stack.services.items()} | dict.fromkeys(stack.uses, 1)
        warnings = map(str, loaded.warnings)
        return cls(stack.name, encode(stack), scales, sorted(stack.disabled), warnings, stack.directory, stack.files)


class Watched(Disk):
    """Stamps what is looked at, before it is."""

    def __init__(self) -> None:
        super().__init__()
        self.stamps: dict[str, Stamp] = {}
        self.lasting = True  # nothing has changed so lately that a change from now on might look the same

    def look(self, path: str) -> None:
        if path in self.stamps:
            return
        now = time.time_ns()
        found = self.stamps[path] = stamp(path)
        if found is not None and found[-1] + TICK_NS > now:
            self.lasting = False

    def read_text(self, path: str) -> str:
        self.look(path)
        return super().read_text(path)

    def is_file(self, path: str) -> bool:
        self.look(path)
        return super().is_file(path)

    def is_there(self, path: str) -> bool:
        self.look(path)
        return super().is_there(path)


def stamp(path: str) -> Stamp:
    """Changes whenever the content or the meaning of a path does; the last one is when that was (ns)."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return (stat.S_IFMT(found.st_mode), 0)  # a folder is changed by whatever is in it; it is read by nobody
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def place(asked: Asked) -> str:
    """The file of the recipe for this wording. The environment is in it as a digest only: it may hold secrets."""
    try:
        from _blake2 import blake2b  # alone: hashlib would load all of OpenSSL
    except ImportError:
        from hashlib import blake2b
    words = [__version__, asked.cwd, str(asked.project_name), str(asked.project_directory), str(_age_of_readers())]
    for several in (asked.files, asked.profiles, asked.env_files):
        words += [str(len(several)), *several]
    words += [f"{name}={value}" for name, value in sorted(asked.environ.items())]
    digest = blake2b("\0".join(words).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
    return os.path.join(asked.home().recipes, digest)


def _age_of_readers() -> int:
    """Who works on orchestra itself wants a changed parser to be used; what Python compiles is no change."""
    with os.scandir(READERS) as entries:
        return max(entry.stat().st_mtime_ns for entry in entries if entry.name.endswith(".py"))


def recall(asked: Asked) -> Recipe | None:
    """The recipe for this wording, if it still holds."""
    if "-" in asked.files:
        return None
    try:
        kept = loads((ours.read(place(asked)) or b"").decode())
        for path, before in kept["stamps"].items():
            now = stamp(path)
            if before != (now and list(now)):
                return None
        name, stack, *rest = kept["recipe"]
        return Recipe(name, stack, *rest) if isinstance(name, str) and isinstance(stack, dict | None) else None
    except (OSError, *ours.MALFORMED):
        return None


def keep(asked: Asked, watched: Watched, recipe: Recipe) -> None:
    """For the next time, unless what was read is so fresh that a change would not be seen."""
    if "-" in asked.files or not watched.lasting:
        return
    path = place(asked)
    origin = (recipe.directory, recipe.files)
    fields = (recipe.name, recipe.stack, recipe.scales, recipe.disabled, recipe.warnings, *origin)
    text = dumps({"stamps": watched.stamps, "recipe": fields})
    new = f"{path}.{os.getpid()}"
    try:
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            ours.clear(folder)
            os.mkdir(folder, 0o700)  # not what is above: where nothing ever ran, nothing is left behind
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(text)
        os.replace(new, path)
        _make_room(folder)
    except OSError:
        pass


def _make_room(folder: str) -> None:
    with os.scandir(folder) as entries:
        ages = sorted((entry.stat().st_mtime_ns, entry.path) for entry in entries)
    for _, path in ages[:-MOST]:
        os.unlink(path)
