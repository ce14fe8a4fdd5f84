"""What a container writes into its volumes is never followed out of them."""

from __future__ import annotations

import pytest
from whole.stage import Stage, idle

pytestmark = pytest.mark.kernel


def test_a_link_in_a_volume_leads_nowhere_else(orchestra: Stage) -> None:
    """Who may write to a volume makes its folder a link to the host's /etc; the neighbour is not given that
    (CVE-2017-1002101)."""
    part = [{"type": "volume", "source": "vol", "target": "/data", "volume": {"subpath": "data"}}]
    writer, reader = idle(volumes=["vol:/v"]), idle(volumes=part)
    orchestra.up({"writer": writer}, volumes={"vol": {}})
    orchestra.inside("writer", "ln -s /etc /v/data")
    orchestra.write({"services": {"writer": writer, "reader": reader}, "volumes": {"vol": {}}})
    said = orchestra.fails("up", "-d")
    assert "cannot mount data of" in said
    assert "it leads out of there" in said
    assert orchestra.row("t-reader-1")["State"] != "running"


def test_a_part_of_a_volume_is_mounted(orchestra: Stage) -> None:
    """The folder itself, or one that a link within the volume leads to."""
    part = [{"type": "volume", "source": "vol", "target": "/data", "volume": {"subpath": "link"}}]
    writer, reader = idle(volumes=["vol:/v"]), idle(volumes=part)
    orchestra.up({"writer": writer}, volumes={"vol": {}})
    orchestra.inside("writer", "mkdir -p /v/a/b; echo here > /v/a/b/file; ln -s a/b /v/link")
    orchestra.up({"writer": writer, "reader": reader}, volumes={"vol": {}})
    assert orchestra.inside("reader", "cat /data/file; ls /data") == "here\nfile"
