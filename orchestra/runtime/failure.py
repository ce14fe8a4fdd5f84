"""How a step of a start says that it failed, also from one process to the next."""

from __future__ import annotations

import os


class StartError(Exception):
    """A container or a process in one could not be started.

    `code` is the exit code that a shell would give: 127 not found, 126 not executable (as docker run), 125 else.
    """

    def __init__(self, step: str, errno: int, what: str, code: int = 125) -> None:
        super().__init__(step, errno, what, code)
        self.step = step
        self.errno = errno
        self.what = what
        self.code = code

    def __str__(self) -> str:
        return f"{self.step}: {self.what}"

    def encode(self) -> bytes:
        fields = (self.step, str(self.errno), str(self.code), self.what)
        return "\0".join(fields).encode("utf-8", "surrogateescape")

    @classmethod
    def decode(cls, record: bytes) -> StartError:
        step, errno, code, what = record.decode("utf-8", "surrogateescape").split("\0", 3)
        return cls(step, int(errno), what, int(code))


class step:
    """A context in which whatever the kernel refuses becomes a StartError of this step."""

    __slots__ = ("about", "name")

    def __init__(self, name: str, about: str = "") -> None:
        self.name = name
        self.about = about

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError):
            raise StartError(self.name, error.errno or 0, sentence(error, self.about)) from error


def sentence(error: OSError, about: str = "") -> str:
    """ "cannot mount /data: Operation not permitted (cache)" """
    reason = os.strerror(error.errno) if error.errno else str(error)
    place = error.filename if isinstance(error.filename, str) and error.filename != about else ""
    parts = [part for part in (about, place) if part]
    return ": ".join([*parts, reason])
