"""Every file of ours spoiled in every way: `down` takes everything away, other commands work or say why in a line,
and nothing of somebody else's is touched."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from orchestra import ours

from .ground import MNT_DETACH, Ground, ends, libc, sh, until

pytestmark = pytest.mark.kernel
UMOUNT_NOFOLLOW = 8

FILES = (
    "run/t/boot",
    "run/t/lock",
    "run/t/keeper.lock",
    "run/t/keeper.sock",
    "run/t/api.sock",
    "run/t/supervisor.json",
    "run/t/children/*",
    "run/t/fifo/*",
    "run/t/ns/*",
    "run/t/files/*/*",
    "run/.recipes/*",
    "run/.networks/ext/*",
    "data/leases.json",
    "data/leases.json.lock",
    "data/networks/*",
    "data/shares/*/*",
    "data/volumes/*/volume.json",
    "data/cache/valid",
    "data/dashboard.token",
    "data/stacks/t/wanted.json*",
    "data/stacks/t/history.db*",
    "data/stacks/t/orchestra.log",
    "data/stacks/t/logs/*/*",
)
FOLDERS = (
    "run/t/children",
    "run/t/fifo",
    "run/t/ns",
    "run/t/files",
    "run/.recipes",
    "run/.networks",
    "data/networks",
    "data/shares",
    "data/cache",
    "data/stacks/t/logs",
    "data/stacks/t/roots",
)
CRITICAL = (
    "run/t/boot",
    "run/t/lock",
    "run/t/keeper.lock",
    "run/t/keeper.sock",
    "run/t/supervisor.json",
    "run/t/children/t-web-1.json",
    "run/t/ns",
    "data/stacks/t/wanted.json",
    "data/leases.json",
)


class Elsewhere:
    """What belongs to somebody else, to which a link may lead: a file that must stay as it is. Where a folder of ours
    is a link to another folder, ours are made there: so a person may keep them elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "folder"
        self.file = self.folder / "file"
        self.folder.mkdir()
        self.file.write_text("of somebody else")

    def is_untouched(self) -> bool:
        return self.file.read_text() == "of somebody else"


def take(path: str) -> bytes:
    """Remove whatever is there, mounted or not; what it said."""
    for folder, _, files in os.walk(path):
        for file in files:
            libc.umount2(f"{folder}/{file}".encode(), MNT_DETACH | UMOUNT_NOFOLLOW)
    libc.umount2(path.encode(), MNT_DETACH | UMOUNT_NOFOLLOW)
    content = b""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        if os.path.isfile(path):
            content = Path(path).read_bytes()
        os.unlink(path)
    return content


def folder_with_a_file(path: str) -> None:
    os.mkdir(path)
    Path(path, "x").write_text("x")


KINDS: dict[str, Callable[[str, bytes, Elsewhere], object]] = {
    "missing": lambda path, content, elsewhere: None,
    "empty": lambda path, content, elsewhere: Path(path).write_bytes(b""),
    "cut": lambda path, content, elsewhere: Path(path).write_bytes(content[: len(content) // 2] or b'{"a'),
    "binary": lambda path, content, elsewhere: Path(path).write_bytes(bytes(range(128, 256)) * 40),
    "another value": lambda path, content, elsewhere: Path(path).write_text('{"version": 1}\n{}\n'),
    "no fields": lambda path, content, elsewhere: Path(path).write_text("{}"),
    "folder": lambda path, content, elsewhere: folder_with_a_file(path),
    "link to nothing": lambda path, content, elsewhere: os.symlink("/nowhere/at/all", path),
    "link to a file": lambda path, content, elsewhere: os.symlink(elsewhere.file, path),
    "link to a folder": lambda path, content, elsewhere: os.symlink(elsewhere.folder, path),
    "fifo": lambda path, content, elsewhere: os.mkfifo(path),
}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Elsewhere]:
    made = Elsewhere(tmp_path)
    yield made
    assert made.is_untouched()


@pytest.fixture
def full(ground: Ground) -> Iterator[Ground]:
    """A stack that has something of everything: a volume, an external network, an open stdin, half a line, a past."""
    before = tables()
    ground.ok("network", "create", "ext")
    script = "printf half; exec sleep 1000"
    web = sh(script, volumes=["v:/v"], networks=["default", "ext"], stdin_open=True, restart="always")
    ground.up({"web": web, "idle": sh(script)}, volumes={"v": {}}, networks={"ext": {"external": True}})
    ground.networks.discard("ext")
    Path(ground.home.data, "dashboard.token").write_text("x" * 43 + "\n")
    until(lambda: os.path.exists(ground.places.history), "there is a history")
    yield ground
    for table in tables() - before:  # of the external network, of which nothing may be known any more (README)
        subprocess.run(["nft", "delete", "table", "ip", table], check=True)


def tables() -> set[str]:
    """Of our networks, in the firewall of the host."""
    listed = subprocess.run(["nft", "list", "tables", "ip"], check=True, capture_output=True, text=True).stdout
    return {line.split()[2] for line in listed.splitlines() if " orchestra-" in line}


def spoil(ground: Ground, kind: str, patterns: Sequence[str], elsewhere: Elsewhere) -> None:
    home = Path(ground.folder, "h")
    found = [str(path) for pattern in patterns for path in home.glob(pattern)]
    assert len(found) >= len(patterns) / 2
    for path in found:
        content = take(path)
        with contextlib.suppress(FileNotFoundError, FileExistsError):  # taken away, or made again, meanwhile
            KINDS[kind](path, content, elsewhere)


def runs(ground: Ground, *words: str) -> None:
    """It works, or says why not; it neither hangs nor falls over."""
    code, said = ground.run(*words)
    assert code == 0 or "error: " in said, said


def goes_down(ground: Ground, pids: list[int]) -> None:
    ground.down()
    ground.nothing_left()
    assert all(ends(pid) for pid in pids)
    assert "Traceback" not in ground.own_log()


def processes(ground: Ground) -> list[int]:
    return [*ground.processes(), *ground.pids("t-web-1"), *ground.pids("t-idle-1")]


@pytest.mark.parametrize("alive", [False, True], ids=["dead", "alive"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "link to a folder"])
def test_all_files_spoiled_at_once(full: Ground, elsewhere: Elsewhere, kind: str, alive: bool) -> None:
    """Keeper and supervisor run on, or whoever comes next finds it so."""
    pids = processes(full)
    if not alive:
        full.kill_both()
    spoil(full, kind, FILES, elsewhere)
    for words in (["ps"], ["logs"], ["events", "--until", "0s"], ["ls"], ["up", "-d"], ["network", "ls"]):
        runs(full, *words)
    goes_down(full, pids)


@pytest.mark.parametrize("kind", ["missing", "empty", "link to nothing", "link to a folder"])
def test_all_folders_spoiled_at_once(full: Ground, elsewhere: Elsewhere, kind: str) -> None:
    pids = processes(full)
    full.kill_both()
    spoil(full, kind, FOLDERS, elsewhere)
    runs(full, "ps")
    runs(full, "logs")
    goes_down(full, pids)


@pytest.mark.parametrize("kind", ["empty", "no fields", "binary", "folder", "link to a file"])
def test_one_file_after_the_other(full: Ground, elsewhere: Elsewhere, kind: str) -> None:
    """The containers whose records are whole run on."""
    idle = full.pid("t-idle-1")
    pids = processes(full)
    for path in CRITICAL:
        full.kill_both()
        spoil(full, kind, [path], elsewhere)
        assert "t-idle-1" in full.ok("ps"), path
        assert "t-web-1" in full.ok("ps", "-a"), path
        assert not ends(idle), path
    goes_down(full, pids)


@pytest.mark.parametrize("alive", [False, True], ids=["dead", "alive"])
def test_down_at_once(full: Ground, elsewhere: Elsewhere, alive: bool) -> None:
    """With nothing asked in between that would have mended it."""
    pids = processes(full)
    if not alive:
        full.kill_both()
    spoil(full, "no fields", FILES, elsewhere)
    goes_down(full, pids)


@pytest.mark.parametrize("name", ["wanted", "leases"])
def test_what_a_newer_version_wrote_is_refused_and_stays(ground: Ground, name: str) -> None:
    """It is no damage: nothing is set aside, nothing overwritten, and what runs goes on."""
    ground.up({"idle": sh()})
    idle = ground.pid("t-idle-1")
    path = Path(ground.places.wanted if name == "wanted" else ground.home.leases)
    ground.kill_both()
    before = path.read_bytes()
    head, _, body = before.partition(b"\n")
    newer = json.dumps({**json.loads(head), "version": 99}).encode() + b"\n" + body
    path.write_bytes(newer)
    for words in (["up", "-d"], ["down", "-t", "1"], ["stop"], ["restart"]):
        code, said = ground.run(*words)
        assert code == 1
        assert f"{path} was written by a newer orchestra" in said
    if name == "wanted":
        assert "newer orchestra" in ground.run("ps")[1]
    assert path.read_bytes() == newer
    assert not list(path.parent.glob("*.bad"))
    assert not ends(idle)
    path.write_bytes(before)
    goes_down(ground, [idle])


def test_what_is_outside_of_our_folders_is_never_set_aside(tmp_path: Path) -> None:
    """Only there, where nobody else may enter, can it be damage."""
    tmp_path.chmod(0o755)
    (tmp_path / "file").touch()
    for path in ("file", "file/below", "file/below/that"):
        with pytest.raises(NotADirectoryError):
            ours.folder(str(tmp_path / path))
    assert os.listdir(tmp_path) == ["file"]
    tmp_path.chmod(0o700)
    ours.folder(str(tmp_path / "file" / "below"))
    assert sorted(os.listdir(tmp_path)) == ["file", "file.bad"]
