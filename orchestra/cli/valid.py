"""Which documents the schema has already found valid, so that `up` need not load the validator again."""

from __future__ import annotations

import os
from contextlib import suppress

from orchestra import ours

MOST = 100


class Valid:
    """A text file of fingerprints, newest last. Losing it costs a moment, never correctness."""

    def __init__(self, cache: str) -> None:
        self._path = os.path.join(cache, "valid")

    def knows(self, fingerprint: str) -> bool:
        return fingerprint in self._read()

    def remember(self, fingerprint: str) -> None:
        kept = [*self._read(), fingerprint][-MOST:]
        new = f"{self._path}.{os.getpid()}"
        with suppress(OSError):
            ours.folder(os.path.dirname(self._path))
            with open(ours.create(new), "w") as file:
                file.write("\n".join(kept))
            ours.put(new, self._path)

    def _read(self) -> list[str]:
        try:
            return (ours.read(self._path) or b"").decode(errors="replace").split()
        except OSError:
            return []
