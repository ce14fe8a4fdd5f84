"""Finding stack files on the disk, and guessing what a stack is called.

Next to nothing is imported here: the command line asks for the guess before anything else, so that what takes long
can begin.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from orchestra.errors import OrchestraError

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
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OrchestraError(f"{path} is not a regular file", "copy it to one")
    with open(path, "rb", opener=_without_waiting) as file:
        content = file.read(MAX_BYTES + 1)
    return decoded(content, path)


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


def search(start: str, warnings: list[str]) -> tuple[str, ...]:
    """The nearest default file, upward, and its override file."""
    folder = os.path.abspath(start)
    while True:
        there = [name for name in DEFAULT_NAMES if os.path.isfile(os.path.join(folder, name))]
        if there:
            if len(there) > 1:
                warnings.append(f"found {', '.join(there)} in {folder}; using {there[0]}")
            return tuple(os.path.join(folder, name) for name in (there[0], *_override(folder)))
        parent = os.path.dirname(folder)
        if parent == folder:
            raise OrchestraError(
                f"there is no stack file in {os.path.abspath(start)} or a folder above it",
                f"name one, as in: orchestra up store.yml (or call it {DEFAULT_NAMES[0]})",
            )
        folder = parent


def _override(folder: str) -> list[str]:
    for name in DEFAULT_NAMES:
        stem, dot, ending = name.rpartition(".")
        override = f"{stem}.override{dot}{ending}"
        if os.path.isfile(os.path.join(folder, override)):
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
        files = files or search(os.path.join(cwd, project_directory or ""), [])
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
