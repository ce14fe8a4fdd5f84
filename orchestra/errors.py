"""One error type for everything a person may read.

An error starts with what could not be done, names the thing, and ends with what to try next. A process shows it
as `error: <what>` and `try: <hint>`; nobody ever sees a traceback.
"""

from __future__ import annotations

import errno

_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))


def is_exhausted(error: BaseException | None) -> bool:
    """Whether descriptors or memory were lacking: then nothing was seen of what was looked at, and nothing is known.

    What was raised because of such an error counts as well.
    """
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _EXHAUSTED):
            return True
        error = error.__cause__
    return False


class OrchestraError(Exception):
    """Something that could not be done, in words for a tired person.

    `what` is one or more lines; `hint` says what to do next; `status` is the exit status of the command.
    """

    def __init__(self, what: str, hint: str | None = None, status: int = 1) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.status = status

    def __str__(self) -> str:
        return self.what if self.hint is None else f"{self.what}\ntry: {self.hint}"
