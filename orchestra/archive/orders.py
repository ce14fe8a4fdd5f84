"""What is done inside of a container's mount namespace, where the runtime has put this process: `copy` of the wire.

Everything is imported by now, for nothing of the host can be loaded any more; standard input and output are the
stream, standard error is for words.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..wire.terminal import line
from .beneath import PLACE, Root
from .pack import pack
from .places import destination
from .unpack import BadArchive, Rules, unpack

if TYPE_CHECKING:
    from ..wire.keeping import CopyOrder

MOST_WARNINGS = 20
"""More than that and a reader who looks at them at the end would be waited for."""


class Said:
    def __init__(self) -> None:
        self._times = 0

    def warn(self, text: str) -> None:
        self._times += 1
        if self._times <= MOST_WARNINGS:
            say(text if self._times < MOST_WARNINGS else "more was left out")


def say(text: str) -> None:
    """One line, whatever the names of files in it."""
    os.write(2, f"{line(text)}\n".encode()[:1000])


def carry_out(order: CopyOrder) -> int:
    """The exit code: 0, or 1 after a sentence on standard error."""
    os.umask(0)
    root = Root(os.open("/", PLACE | os.O_CLOEXEC))
    said = Said()
    try:
        if order["direction"] == "out":
            with open(1, "wb", buffering=1 << 16, closefd=False) as out:
                pack(root, order["path"], order["name"], out, said.warn, order["follow"])
        else:
            _take_in(root, order, said)
    except BadArchive as error:
        say(str(error))
        return 1
    except OSError as error:
        place = error.filename if isinstance(error.filename, str) else order["path"]
        say(f"{place}: {error.strerror}")
        return 1
    return 0


def _take_in(root: Root, order: CopyOrder, said: Said) -> None:
    rules = Rules(owners=order["owners"], all_bits=True, pipes=True)
    if order["name"]:
        folder, top = destination(root, order["path"], order["name"])
        rules = Rules(rules.owners, rules.all_bits, rules.pipes, (order["name"], top))
    else:  # an archive of somebody else's making
        folder = root.open(order["path"], PLACE)
    with open(0, "rb", buffering=1 << 16, closefd=False) as stream:
        unpack(stream, folder, rules, said.warn)
        while stream.read(1 << 16):  # whoever writes is not to be cut off in the padding
            continue
