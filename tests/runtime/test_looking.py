"""A look that cannot be taken tells nothing: for want of descriptors no file of a cgroup counts as missing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from scarce import free_descriptors

from orchestra.runtime import cgroups
from orchestra.runtime.regain import is_out
from orchestra.runtime.usage import usage

FILES = {
    "cgroup.events": "populated 1\nfrozen 1\n",
    "memory.events": "low 0\noom 2\noom_kill 3\n",
    "memory.current": "1000\n",
    "cpu.stat": "usage_usec 7000000\n",
}
LOOKS: dict[str, Callable[[cgroups.Driver], object]] = {
    "frozen": lambda driver: driver.frozen("c"),
    "killed": lambda driver: driver.oom_kills("c"),
    "use": lambda driver: usage(driver, "c"),
    "escaped": lambda driver: is_out(driver, "c", os.getpid(), {}),
}


@pytest.mark.parametrize("look", LOOKS)
def test_what_cannot_be_read_is_not_missing(tmp_path: Path, look: str) -> None:
    (tmp_path / "c").mkdir()
    for name, text in FILES.items():
        (tmp_path / "c" / name).write_text(text)
    driver = cgroups.V2(str(tmp_path))
    assert LOOKS[look](driver)
    with free_descriptors(0), pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
        LOOKS[look](driver)
