"""Finding stack files on the disk, and guessing what a stack is called.

Next to nothing is imported here: the command line asks for the guess before anything else, so that what takes long
can begin.
"""

from __future__ import annotations

import os
import stat

from orchestra.errors import OrchestraError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_NAMES = (
    "stack.yml",
    "stack.yaml",
    "orchestra.yaml",
    "orchestra.yml",
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
)
MAX_BYTES = 4 * 1024 * 1024
LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
LETTERS = LOWER | frozenset("_-")


def read_text(path: str) -> str:
    """A regular file's text, bounded; never waits for a FIFO or reads a device without end."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise OrchestraError(f"{path} is a folder", "name a file in it")
    if not stat.S_ISREG(mode):
        raise OrchestraError(f"{path} is not a regular file", "copy it to one")
    with open(path, "rb", opener=_without_waiting) as file:
        content = file.read(MAX_BYTES + 1)
    if content is None:  # of /proc/kmsg, which calls itself a regular file and has nothing to say now
        raise OrchestraError(f"{path} cannot be read without waiting", "copy it to a regular file")
    return decoded(content, path)


def is_same_project(folder: str, files: Sequence[str], other: str, others: Sequence[str]) -> bool:
    """Whether two sets of stack files are of one project, however they are spelt: they are in one folder, or have a
    file in common. What is read from standard input belongs to the folder."""
    if os.path.realpath(folder) == os.path.realpath(other):
        return True
    return bool({os.path.realpath(path) for path in files if path != "-"} & {*map(os.path.realpath, others)})


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def decoded(content: bytes, path: str) -> str:
    if len(content) > MAX_BYTES:
        raise OrchestraError(f"{path} is larger than {MAX_BYTES >> 20} MiB")
    if b"\0" in content:
        raise OrchestraError(f"{path} is not text: it has a NUL byte")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise OrchestraError(f"{path}:{line}: not UTF-8 text", "save it as UTF-8") from None


MAX_TOTAL = 64 * 1024 * 1024
"""Characters of all files of a stack, as often as they are read."""


class Disk:
    """The files that reading a stack looks at, and whether they are there. Who derives from it can note which."""

    def __init__(self) -> None:
        self._left = MAX_TOTAL

    def read_text(self, path: str) -> str:
        text = read_text(path)
        self._left -= len(text)
        if self._left < 0:
            raise OrchestraError(f"the files of this stack are larger than {MAX_TOTAL >> 20} MiB together")
        return text

    def is_file(self, path: str) -> bool:
        return os.path.isfile(path)

    def is_there(self, path: str) -> bool:
        return os.path.exists(path)


def search(start: str, warnings: list[str], disk: Disk) -> tuple[str, ...]:
    """The nearest default file, upward, and its override file."""
    folder = os.path.abspath(start)
    while True:
        there = [name for name in DEFAULT_NAMES if disk.is_file(os.path.join(folder, name))]
        if there:
            if len(there) > 1:
                warnings.append(f"found {', '.join(there)} in {folder}; using {there[0]}")
            return tuple(os.path.join(folder, name) for name in (there[0], *_override(folder, disk)))
        parent = os.path.dirname(folder)
        if parent == folder:
            raise OrchestraError(
                f"there is no stack file in {os.path.abspath(start)} or a folder above it",
                f"name one, as in: orchestra up store.yml (or call it {DEFAULT_NAMES[0]})",
            )
        folder = parent


def _override(folder: str, disk: Disk) -> list[str]:
    for name in DEFAULT_NAMES:
        stem, dot, ending = name.rpartition(".")
        override = f"{stem}.override{dot}{ending}"
        if disk.is_file(os.path.join(folder, override)):
            return [override]
    return []


def normalised(name: str) -> str:
    """A project name out of any word: lower case, foreign characters dropped, none of `_-` in front."""
    return "".join(letter for letter in name.lower() if letter in LETTERS).lstrip("_-")


def guess_name(
    files: tuple[str, ...],
    project_name: str | None,
    project_directory: str | None,
    cwd: str,
    environ: Mapping[str, str],
) -> str | None:
    """The project's name without reading YAML: a hint for warming up, never to be relied on."""
    try:
        if given := project_name or environ.get("COMPOSE_PROJECT_NAME"):
            return given
        files = files or search(os.path.join(cwd, project_directory or ""), [], Disk())
        if files[0] == "-":
            return None
        written = [name for path in files if (name := _top_level_name(read_text(os.path.join(cwd, path))))]
        first = os.path.dirname(os.path.abspath(os.path.join(cwd, files[0])))
        folder = os.path.join(cwd, project_directory) if project_directory else first
        return normalised(written[-1] if written else os.path.basename(os.path.abspath(folder))) or None
    except (OSError, OrchestraError):
        return None


def _top_level_name(text: str) -> str:
    for line in text.splitlines():
        if line.startswith("name:"):
            word = line[5:].partition(" #")[0].strip().strip("'\"")
            return "" if "$" in word else word
    return ""
