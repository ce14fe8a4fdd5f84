"""TypedDict as type checkers know it. At run time it is a name and no more: messages are dictionaries, and to work
out the keys of a hundred classes takes 5 ms of a supervisor's start."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict as TypedDict
else:

    class TypedDict(dict):
        def __init_subclass__(cls, total: bool = True) -> None:
            pass
