"""Only the message classes of pyroute2 are imported, whatever else did with it."""

from __future__ import annotations

import subprocess
import sys

import pytest

ENCODE = """
from orchestra.network import links
assert links.delete_link("orc0123456789").message
"""


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_workshop_imports_little() -> None:
    """Neither pyroute2's front door nor what hangs on it; a supervisor starts the faster."""
    loaded = run(ENCODE + "import sys; from orchestra.network import plugs; print(*sys.modules)").split()
    assert "pyroute2.netlink.rtnl.ifinfmsg" in loaded
    assert not {"pyroute2", "pyroute2.ndb", "pyroute2.netlink.nlsocket", "asyncio", "ssl", "json"} & set(loaded)


@pytest.mark.parametrize("program", ["import pyroute2" + ENCODE, ENCODE + "import pyroute2"], ids=["before", "after"])
def test_the_whole_library_may_be_imported_as_well(program: str) -> None:
    """Before ours or after it, it is the real one."""
    assert run(program + "\nprint(pyroute2.IPRoute.__name__)").strip() == "IPRoute"
