"""`python -m orchestra.supervisor STACK`: the keeper runs this."""

from __future__ import annotations

import os
import sys

from ..places import Home
from .main import main

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m orchestra.supervisor STACK")
    main(Home.of(os.environ, os.geteuid()).stack(sys.argv[1]))
