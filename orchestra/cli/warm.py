"""A head start for `orchestra up`: its keeper starts while this process still reads options and the file.

Everything here is a guess and nothing may fail: `up` itself makes sure of the keeper afterwards. A keeper that is
never given a stack ends by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def warm_up(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Start the keeper of the stack that `argv` most likely means, when it means `up`."""
