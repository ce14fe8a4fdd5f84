"""Streams unpack below their folder or not at all, whatever they say; what is packed comes out the same."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from orchestra.archive.beneath import PLACE, Root, beneath
from orchestra.archive.pack import pack
from orchestra.archive.places import basename, destination
from orchestra.archive.unpack import BadArchive, Rules, unpack

REGULAR = {"type": tarfile.REGTYPE}
LINK = {"type": tarfile.SYMTYPE}
HARD = {"type": tarfile.LNKTYPE}
PLAIN = Rules()
FOLDER = {"type": tarfile.DIRTYPE, "mode": 0o755}


def archive(*members: tuple[str, bytes, dict[str, Any]]) -> io.BytesIO:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content, more in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in more.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(content))
    made.seek(0)
    return made


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """The folder to unpack in; beside it lies what must not be touched."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_text("kept")
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def taken(stream: io.BytesIO, folder: Path, rules: Rules = PLAIN) -> list[str]:
    """What was warned of."""
    warnings: list[str] = []
    place = os.open(folder, PLACE)
    try:
        unpack(stream, place, rules, warnings.append)
    finally:
        os.close(place)
    return warnings


@pytest.mark.parametrize(
    "members",
    [
        [("../outside/new", b"x", REGULAR)],
        [("a/../../outside/new", b"x", REGULAR)],
        [("l", b"", {**LINK, "linkname": "../outside"}), ("l/new", b"x", REGULAR)],
        [("l", b"", {**LINK, "linkname": "/"}), ("l/tmp/new", b"x", REGULAR)],
        [("l", b"", {**LINK, "linkname": "../outside"}), ("l", b"", FOLDER)],
        [("l", b"", {**LINK, "linkname": "."}), ("l/x", b"x", REGULAR)],
        [("h", b"", {**HARD, "linkname": "../outside/kept"}), ("h", b"changed", REGULAR)],
        [("l", b"", {**LINK, "linkname": "../outside"}), ("h", b"", {**HARD, "linkname": "l/kept"})],
    ],
    ids=["up", "up and down", "through a link", "through the root", "folder", "in place", "hard link", "both"],
)
def test_nothing_leads_out(inside: Path, members: list[tuple[str, bytes, dict[str, Any]]]) -> None:
    """An archive that wants elsewhere is refused, and what is elsewhere stays as it was."""
    with pytest.raises((BadArchive, OSError)):
        taken(archive(*members), inside)
    outside = inside.parent / "outside"
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "kept"
    assert (outside / "kept").stat().st_nlink == 1


def test_a_file_takes_the_place_of_a_link_and_does_not_go_through_it(inside: Path) -> None:
    """What the link led to is untouched."""
    (inside / "l").symlink_to("../outside/kept")
    taken(archive(("l", b"new", REGULAR)), inside)
    assert not (inside / "l").is_symlink()
    assert (inside.parent / "outside" / "kept").read_text() == "kept"


def test_absolute_names_are_below_the_folder(inside: Path) -> None:
    """As tar(1) has it."""
    taken(archive(("/etc/new", b"x", REGULAR)), inside)
    assert (inside / "etc" / "new").read_text() == "x"


def test_dangerous_kinds_and_bits_stay_behind(inside: Path) -> None:
    """No devices, no pipes, no setuid, no strange owners, unless the rules say so."""
    members = (
        ("dev", b"", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}),
        ("pipe", b"", {"type": tarfile.FIFOTYPE}),
        ("tool", b"x", {**REGULAR, "mode": 0o6755, "uid": 12345}),
    )
    warnings = taken(archive(*members), inside)
    assert warnings == ["left out dev: it is a device", "left out pipe: it is a pipe"]
    assert stat.S_IMODE((inside / "tool").stat().st_mode) == 0o755
    assert (inside / "tool").stat().st_uid == os.getuid()
    taken(archive(*members), inside, Rules(all_bits=True, pipes=True))
    assert stat.S_IMODE((inside / "tool").stat().st_mode) == 0o6755
    assert stat.S_ISFIFO((inside / "pipe").stat().st_mode)


@pytest.mark.parametrize(
    "content", [b"", b"no archive" * 100, archive(("a", b"x" * 5000, REGULAR)).getvalue()[:2000]]
)
def test_what_is_no_archive_is_told(inside: Path, content: bytes) -> None:
    """Nothing, rubbish, and one that breaks off."""
    if not content:
        with pytest.raises(BadArchive, match="not a tar archive"):
            taken(io.BytesIO(content), inside)
        return
    with pytest.raises(BadArchive):
        taken(io.BytesIO(content), inside)


def test_a_folder_does_not_become_a_file(inside: Path) -> None:
    """Nor the other way round."""
    (inside / "a").mkdir()
    (inside / "b").write_text("")
    with pytest.raises(IsADirectoryError, match="a"):
        taken(archive(("a", b"x", REGULAR)), inside)
    with pytest.raises(OSError, match="b"):
        taken(archive(("b", b"", FOLDER)), inside)


def test_what_is_packed_comes_out_the_same(tmp_path: Path) -> None:
    """Contents, modes, times, links of both kinds, empty folders, strange names; under another name."""
    source = tmp_path / "source"
    (source / "sub" / "empty").mkdir(parents=True)
    (source / "sub" / "x\ny é").write_text("strange")
    (source / "big").write_bytes(os.urandom(300_000))
    (source / "link").symlink_to("/nowhere/at/all")
    os.link(source / "big", source / "same")
    os.mkfifo(source / "pipe")
    os.chmod(source / "sub", 0o500)
    os.utime(source / "big", (1_000_000_000, 1_000_000_000))
    out = io.BytesIO()
    warnings: list[str] = []
    pack(Root(None), str(source), "source", out, warnings.append)
    out.seek(0)
    target = tmp_path / "target"
    target.mkdir()
    warnings += taken(out, target, Rules(top=("source", "other")))
    copy = target / "other"
    assert warnings == ["left out other/pipe: it is a pipe"]
    assert (copy / "sub" / "x\ny é").read_text() == "strange"
    assert (copy / "big").read_bytes() == (source / "big").read_bytes()
    assert os.readlink(copy / "link") == "/nowhere/at/all"
    assert (copy / "same").samefile(copy / "big")
    assert stat.S_IMODE((copy / "sub").stat().st_mode) == 0o500
    assert (copy / "big").stat().st_mtime == 1_000_000_000


def test_a_root_cannot_be_left(tmp_path: Path) -> None:
    """Links are followed as if the folder were the whole machine."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("its own")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "up").symlink_to("../../../etc/passwd")
    (tmp_path / "loop").symlink_to("loop")
    place = os.open(tmp_path, PLACE)
    root = Root(place)
    for name in ("/link", "/up"):
        found = root.open(root.followed(name), os.O_RDONLY)
        assert os.read(found, 100) == b"its own"
        os.close(found)
    with pytest.raises(OSError, match="loop"):
        root.followed("/loop")
    with pytest.raises(OSError, match="link"):
        beneath(place, "link", os.O_RDONLY)
    os.close(place)


def test_destinations_are_dockers(tmp_path: Path) -> None:
    """What is there decides what the copy is called."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("folder")

    def named(path: str, name: str) -> tuple[str, str]:
        descriptor, top = destination(Root(None), f"{tmp_path}/{path}", name)
        where = os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), tmp_path)
        os.close(descriptor)
        return where, top

    assert named("folder", "x") == ("folder", "x")
    assert named("folder/", ".") == ("folder", ".")
    assert named("link", "x") == ("folder", "x")
    assert named("new", "x") == (".", "new")
    assert named("file", "x") == (".", "file")
    for path, name in (("new/", "x"), ("file/", "x"), ("file", "."), ("no/way", "x")):
        with pytest.raises(OSError, match=path.split("/")[0]):
            named(path, name)
    assert [basename(each) for each in ("a/b", "a/b/", "a/b/.", "/", "..")] == ["b", "b", ".", ".", "."]
