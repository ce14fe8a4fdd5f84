"""One error type for everything a person may read.

An error starts with what could not be done, names the thing, and ends with what to try next. A process shows it
as `error: <what>` and `try: <hint>`; nobody ever sees a traceback.
"""

from __future__ import annotations


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
