"""Volumes on disk."""

from __future__ import annotations

import threading
from pathlib import Path

from orchestra.places import Home
from orchestra.state import volumes


def test_two_may_remove_the_same_volume_at_once(tmp_path: Path) -> None:
    """What is gone already is no error, for a supervisor and a command that come at the same time."""
    home = Home.of({"ORCHESTRA_HOME": str(tmp_path)}, 0)
    volumes.make(home, "a", {})
    for number in range(500):
        (Path(home.volume("a")) / f"{number}").mkdir()
    wrong: list[OSError] = []
    begin = threading.Barrier(4)

    def remove() -> None:
        begin.wait()
        try:
            volumes.discard(home, "a")
        except OSError as error:
            wrong.append(error)

    removing = [threading.Thread(target=remove) for _ in range(4)]
    for one in removing:
        one.start()
    for one in removing:
        one.join()
    assert wrong == []
    assert volumes.listed(home) == []
