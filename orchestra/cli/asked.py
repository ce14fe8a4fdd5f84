"""What a command line asks for besides its command: which stack, which home, how to show what happens."""

from __future__ import annotations

import os

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
        """Raises OrchestraError where that cannot be a folder: what is there instead is somebody else's."""
        moved = self.home_directory or self.environ.get("ORCHESTRA_HOME")
        there = moved
        while there and not os.path.lexists(there):
            there = os.path.dirname(there)
        if there and not os.path.isdir(there):
            raise OrchestraError(
                f"cannot keep anything below {moved}: {there} is no folder",
                "set ORCHESTRA_HOME to a folder of your own",
            )
        environ = {**self.environ, "ORCHESTRA_HOME": self.home_directory} if self.home_directory else self.environ
        return Home.of(environ, os.geteuid())


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
