"""The message classes of pyroute2, and nothing else of it.

`import pyroute2` runs the package's __init__, which brings IPDB, NDB, plan9, conntrack and more: 130 ms of CPU. The
classes that encode and decode rtnetlink messages cost a sixth of that when the __init__ is passed over, which a bare
module with the package's __path__ does. It is taken out again, so that a later `import pyroute2` gets the real one.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def _without_package_init(package: str) -> Iterator[None]:
    spec = None if package in sys.modules else importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        yield
        return
    stand_in = types.ModuleType(package)
    stand_in.__path__ = list(spec.submodule_search_locations)
    stand_in.__spec__ = spec
    sys.modules[package] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(package) is stand_in:
            del sys.modules[package]


with _without_package_init("pyroute2"):
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

__all__ = ["ifaddrmsg", "ifinfmsg", "rtmsg"]
