"""What a command line asks for besides its command: which stack, which home, how to show what happens."""

from __future__ import annotations

import errno
import os
import stat

from orchestra.errors import OrchestraError
from orchestra.places import Home

from . import colours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRESS = ("auto", "tty", "plain", "json", "quiet")
ANSI = ("auto", "never", "always")
FILE_ENDINGS = (".yml", ".yaml")


class Asked:
    """The global options of one command line, wherever they stood."""

    def __init__(self, environ: Mapping[str, str], cwd: str, progress: str = "auto") -> None:
        self.environ = environ
        self.cwd = cwd
        self.progress = progress
        self.project_name: str | None = None
        self.project_directory: str | None = None
        self.home_directory: str | None = None
        self.dry_run = False
        self.files: list[str] = []
        self.profiles: list[str] = []
        self.env_files: list[str] = []

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Asked:
        colours.choose(_one_of(ANSI, environ.get("COMPOSE_ANSI")))
        return cls(environ, _working_folder(environ), _one_of(PROGRESS, environ.get("COMPOSE_PROGRESS")))

    def home(self) -> Home:
        """Raises OrchestraError where no folder can be."""
        moved = {**self.environ, "ORCHESTRA_HOME": self.home_directory} if self.home_directory else self.environ
        home = Home.of(moved, os.geteuid())
        for folder in (os.path.dirname(home.run), os.path.dirname(home.data)):
            if not _can_be_folder(folder):
                raise OrchestraError(
                    f"{folder} is not a folder, or below what is none", "set ORCHESTRA_HOME to another folder"
                )
        return home


def _can_be_folder(path: str) -> bool:
    """It is one, or may be made."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        return error.errno != errno.ENOTDIR


def _one_of(words: tuple[str, ...], word: str | None) -> str:
    return word if word in words else "auto"


def _working_folder(environ: Mapping[str, str]) -> str:
    """The folder as the shell names it, so that a folder that is a symbolic link keeps its name."""
    named = environ.get("PWD", "")
    try:
        if os.path.isabs(named) and os.path.samefile(named, "."):
            return named
    except OSError:
        pass
    try:
        return os.getcwd()
    except OSError as error:
        raise OrchestraError(
            f"cannot tell which folder this is: {error.strerror}", "cd to one that is there"
        ) from None


def is_file(word: str) -> bool:
    """Whether an argument is a stack file rather than a service."""
    return word.endswith(FILE_ENDINGS) or ("/" in word and os.path.exists(word))
