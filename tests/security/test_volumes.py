"""What a container writes into its volumes is never followed out of them."""

from __future__ import annotations

import os
from pathlib import Path

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


SET_ID = """
import ctypes, os, struct
c = ctypes.CDLL(None, use_errno=True)
os.chdir("/data")
def attempt(what, *arguments):
    try:
        what(*arguments)
    except OSError as error:
        print(os.strerror(error.errno))
def openat2(name):
    how = (ctypes.c_uint64 * 3)(os.O_CREAT | os.O_WRONLY, 0o4755, 0)
    if c.syscall(437, -100, name, how, 24) < 0:
        raise OSError(ctypes.get_errno(), "")
def unnamed(name):
    fd = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o4755)
    os.link(f"/proc/self/fd/{fd}", name, follow_symlinks=True)
for name, mode in ("user", 0o4755), ("group", 0o2755):
    open(name, "w").close()
    os.chown(name, 0, 6)
    attempt(os.chmod, name, mode)
fd = os.open("user", os.O_RDONLY)
attempt(os.fchmod, fd, 0o4700)
attempt(os.open, "opened", os.O_CREAT | os.O_WRONLY, 0o4755)
attempt(os.mknod, "made", 0o104755)
attempt(unnamed, "unnamed")
attempt(openat2, b"opened2")
capable = (0x02000001).to_bytes(4, "little") + (1 << 21).to_bytes(4, "little") + bytes(12)
attempt(os.setxattr, "user", "security.capability", capable)
def by_acl(name):
    open(name, "w").close()
    try:
        os.chmod(name, 0o2644)
    finally:  # an ACL can be what makes the group's bits (acl(5))
        entries = b"".join(struct.pack("<HHi", tag, 5, -1) for tag in (1, 4, 0x20))
        os.setxattr(name, "system.posix_acl_access", struct.pack("<I", 2) + entries)
attempt(by_acl, "acl")
os.chmod("user", 0o755)
os.mkdir("folder", 0o1777)
"""
"""Every way to a program that runs as the host's root, one of its groups, or with capabilities there."""


@pytest.mark.parametrize("opened", [False, True])
def test_a_program_with_the_hosts_rights_is_left_in_a_bind_only_where_it_may_be(
    orchestra: Stage, opened: bool
) -> None:
    """The mount inside being nosuid does not help: it is another one through which the host's users see the file."""
    (orchestra.work / "data").mkdir()
    bind = {"type": "bind", "source": "./data", "target": "/data", "bind": {"suid": opened}}
    orchestra.up({"a": idle(volumes=[bind, "kept:/kept", "./data:/again:ro"])}, volumes={"kept": {}})
    said = orchestra.python("a", SET_ID).splitlines()
    privileged = {}
    for path in sorted((orchestra.work / "data").iterdir()):
        mode = path.stat().st_mode
        if mode & 0o6000 or "security.capability" in os.listxattr(path):
            privileged[path.name] = oct(mode & 0o6000)
    if opened:
        assert {name: privileged.get(name) for name in ("made", "opened", "user", "group", "acl")} == {
            "made": "0o4000",
            "opened": "0o4000",
            "user": "0o0",  # taken away at the end; its capability stays
            "group": "0o2000",
            "acl": "0o2000",
        }
        return
    assert privileged == {}
    refused = "Operation not permitted"
    assert said == [refused] * 6 + ["Function not implemented", refused, refused]
    assert orchestra.inside("a", "stat -c %a /data/folder /data/user") == "1755\n755"


def test_nobody_else_gets_to_the_volumes(orchestra: Stage) -> None:
    """What has the host's rights in there is out of the reach of the host's users."""
    orchestra.up({"a": idle(volumes=["kept:/kept"])}, volumes={"kept": {}})
    orchestra.inside("a", "cp /bin/true /kept/true; chmod 4755 /kept/true")
    volume = Path(orchestra.home.volume("t_kept"))
    assert (volume / "true").stat().st_mode & 0o4000
    around = [folder for folder in volume.parents if folder.is_relative_to(orchestra.home.data)]
    assert any(folder.stat().st_mode & 0o077 == 0 and folder.stat().st_uid == 0 for folder in around)
