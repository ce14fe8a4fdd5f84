"""`python -m orchestra.keeper STACK`: forks a keeper that is nobody's child, and ends."""

from __future__ import annotations

import os
import sys

from ..places import Home
from .start import become_keeper


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m orchestra.keeper STACK")
    if os.fork() == 0:
        become_keeper(Home.of(os.environ, os.geteuid()).stack(sys.argv[1]))


if __name__ == "__main__":
    main()
