"""Files go out of containers and into them, and the container has no say in where they end."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from .stage import COMMAND, Stage, idle, py, sh, until

pytestmark = pytest.mark.kernel

# Swaps a folder for a link to a place that exists on the host only, as fast as it can.
SWAP = """
import os
os.makedirs("/data/real", exist_ok=True)
for n in range(50): open(f"/data/real/{n}", "w").write("inside")
print("ready", flush=True)
while True:
    try:
        os.rename("/data/real", "/data/away"); os.symlink(TARGET, "/data/real")
        os.unlink("/data/real"); os.rename("/data/away", "/data/real")
    except OSError:
        pass
"""


def test_a_folder_goes_out_and_comes_back(orchestra: Stage) -> None:
    """Contents, modes and links; owners are the caller's outside, root inside, and numbers with -a."""
    orchestra.up({"a": idle()})
    orchestra.inside(
        "a", "mkdir -p /d/sub; echo hello > /d/sub/f; chmod 640 /d/sub/f; chown 7:8 /d/sub/f; ln -s f /d/sub/l"
    )
    orchestra.ok("cp", "a:/d", "copy")
    copy = orchestra.work / "copy" / "sub"
    assert (copy / "f").read_text() == "hello\n"
    assert ((copy / "f").stat().st_mode & 0o777, (copy / "f").stat().st_uid) == (0o640, 0)
    assert os.readlink(copy / "l") == "f"
    orchestra.ok("cp", "-a", "a:/d/.", "kept")
    assert ((orchestra.work / "kept/sub/f").stat().st_uid, (orchestra.work / "kept/sub/f").stat().st_gid) == (7, 8)
    orchestra.ok("cp", "copy", "a:/d")
    assert orchestra.inside("a", "cat /d/copy/sub/l; stat -c %u:%g:%a /d/copy/sub/f") == "hello\n0:0:640"
    orchestra.ok("cp", "-a", "kept/sub/f", "a:/owned")
    assert orchestra.inside("a", "stat -c %u:%g /owned") == "7:8"


def test_single_files_and_links(orchestra: Stage) -> None:
    """Over a file, into a folder, under another name; -L copies what a link leads to; mounted files are written."""
    orchestra.up({"a": idle()})
    (orchestra.work / "f").write_text("one")
    (orchestra.work / "l").symlink_to("f")
    orchestra.ok("cp", "f", "a:/tmp/new")
    orchestra.ok("cp", "f", "a:/tmp/")
    orchestra.ok("cp", "l", "a:/tmp/link")
    orchestra.ok("cp", "-L", "l", "a:/tmp/followed")
    said = orchestra.inside("a", "cd /tmp; cat new f followed; readlink link")
    assert said == "oneoneonef"
    orchestra.inside("a", "ln -s /tmp/new /tmp/q")
    orchestra.ok("cp", "-L", "a:/tmp/q", "got")
    assert (orchestra.work / "got").read_text() == "one"
    orchestra.ok("cp", "f", "a:/etc/hosts")
    assert orchestra.inside("a", "cat /etc/hosts") == "one"


def test_archives_by_pipe(orchestra: Stage) -> None:
    """- is a tar archive on stdout or stdin."""
    orchestra.up({"a": idle()})
    orchestra.inside("a", "mkdir /d; echo hello > /d/f")
    words = [*COMMAND, "-p", "t", "cp"]
    done = subprocess.run(
        [*words, "a:/d", "-"], capture_output=True, cwd=orchestra.work, env=orchestra.environ, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        assert tar.getnames() == ["d", "d/f"]
    orchestra.inside("a", "mkdir /e")
    subprocess.run([*words, "-", "a:/e"], input=done.stdout, cwd=orchestra.work, env=orchestra.environ, check=True)
    assert orchestra.inside("a", "cat /e/d/f") == "hello"
    bad = subprocess.run(
        [*words, "-", "a:/e"],
        input=b"rubbish" * 200,
        capture_output=True,
        cwd=orchestra.work,
        env=orchestra.environ,
        check=False,
    )
    assert bad.returncode == 1
    assert b"not a tar archive" in bad.stderr


def test_mistakes_are_told(orchestra: Stage) -> None:
    """In a sentence, by the side that knows."""
    orchestra.up({"a": idle()})
    (orchestra.work / "f").write_text("one")
    assert "cp: /nothing: No such file or directory" in orchestra.fails("cp", "a:/nothing", "x")
    assert "cp: nothing: No such file or directory" in orchestra.fails("cp", "nothing", "a:/tmp/")
    assert "No such file or directory" in orchestra.fails("cp", "f", "a:/no/where")
    assert "Not a directory" in orchestra.fails("cp", "f", "a:/etc/hosts/")
    assert "No such file or directory" in orchestra.fails("cp", "a:/etc/hosts", "no/where")
    assert "Read-only file system" in orchestra.fails("cp", "f", "a:/usr/bin/f")
    assert "between two containers" in orchestra.fails("cp", "a:/x", "a:/y")
    assert "without a container" in orchestra.fails("cp", "x", "y")
    assert "no such service: b" in orchestra.fails("cp", "b:/x", "y")
    assert not (orchestra.work / "x").exists()


def test_a_copy_reaches_every_replica(orchestra: Stage) -> None:
    """As with docker compose; --index names one. A paused one has files as well."""
    orchestra.up({"a": idle(scale=2)})
    (orchestra.work / "f").write_text("one")
    orchestra.ok("cp", "f", "a:/tmp/both")
    orchestra.ok("cp", "--index", "2", "f", "a:/tmp/second")
    listed = [orchestra.inside("a", "ls /tmp", "--index", each) for each in ("1", "2")]
    assert listed == ["both", "both\nsecond"]
    orchestra.ok("pause", "a")
    orchestra.ok("cp", "a:/tmp/both", "from-paused")
    assert (orchestra.work / "from-paused").read_text() == "one"


def test_files_of_a_stopped_container(orchestra: Stage) -> None:
    """What it wrote can be taken out, something put in, and it starts again with it; volumes are there as well."""
    script = "cat /in 2>/dev/null; echo written > /out; echo kept > /v/kept; exit 1"
    orchestra.up({"a": sh(script, volumes=["kept:/v"])}, volumes={"kept": {}})
    until(lambda: orchestra.row("t-a-1")["State"] == "exited", "it has ended")
    orchestra.ok("cp", "a:/out", "out")
    orchestra.ok("cp", "a:/v", "volume")
    assert (orchestra.work / "out").read_text() == "written\n"
    assert (orchestra.work / "volume" / "kept").read_text() == "kept\n"
    (orchestra.work / "in").write_text("put in\n")
    orchestra.ok("cp", "in", "a:/in")
    orchestra.ok("start", "a")
    until(lambda: "put in" in orchestra.logs("a"), "it was found")
    orchestra.ok("rm", "-f", "a")
    assert "there is no container of a" in orchestra.fails("cp", "a:/out", "again")


def test_a_container_that_swaps_folders_for_links_gains_nothing(orchestra: Stage) -> None:
    """Neither is a file of the host read, nor one written."""
    host = orchestra.folder / "host"
    host.mkdir()
    (host / "secret").write_text("of the host")
    program = SWAP.replace("TARGET", repr(str(host)))
    orchestra.up({"a": py(program, stop_signal="SIGKILL")})
    until(lambda: "ready" in orchestra.logs(), "it swaps")
    (orchestra.work / "evil").mkdir()
    (orchestra.work / "evil" / "planted").write_text("planted")
    ended: set[int] = set()
    end = time.monotonic() + 6
    for number in range(12):
        ended.add(orchestra.run("cp", "a:/data", f"out{number}").returncode)
        ended.add(orchestra.run("cp", "a:/data/real/.", f"direct{number}").returncode)
        ended.add(orchestra.run("cp", "evil", "a:/data/real/").returncode)
        if time.monotonic() > end:
            break
    assert 0 in ended
    assert sorted(path.name for path in host.iterdir()) == ["secret"]
    copied = [path for path in orchestra.work.rglob("*") if path.is_file() and not path.is_symlink()]
    assert all("of the host" not in path.read_text() for path in copied)


def test_what_copies_cannot_be_seen_or_taken_over_inside(orchestra: Stage) -> None:
    """No process of the container sees it, and none of its programs runs: a library that it forged is not loaded."""
    orchestra.up({"a": idle()})
    orchestra.inside("a", "mkdir -p /lib /d; echo 'passwd: evil' > /etc/nsswitch.conf; mkfifo /d/in; : > /d/file")
    (orchestra.work / "big").write_bytes(bytes(1 << 20))
    reading, writing = os.pipe()
    with subprocess.Popen(
        [*COMMAND, "-p", "t", "cp", "-", "a:/d"], stdin=reading, cwd=orchestra.work, env=orchestra.environ
    ) as copying:
        os.close(reading)
        until(
            lambda: len(orchestra.pids("t-a-1")) >= 3, "it waits for its archive, and is counted as the container's"
        )
        seen = orchestra.inside("a", "ls /proc | grep -c '^[0-9]'; cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert "keeper" not in seen
        assert "python" not in seen
        with os.fdopen(writing, "wb") as out, tarfile.open(fileobj=out, mode="w|") as tar:
            tar.add(orchestra.work / "big", "big")
    assert copying.returncode == 0
    assert orchestra.inside("a", "stat -c %s /d/big") == str(1 << 20)


def test_a_large_copy_stays_within_the_containers_memory(orchestra: Stage) -> None:
    """What is written counts as the container's: its tmpfs cannot be filled beyond its limit from outside."""
    orchestra.up({"a": idle(mem_limit="32m", memswap_limit="32m", tmpfs=["/t"])})
    with open(orchestra.work / "big", "wb") as big:
        big.truncate(64 << 20)
    said = orchestra.fails("cp", "big", "a:/t/big")
    assert "was killed" in said or "Cannot allocate memory" in said or "No space left" in said
    assert Path(f"/proc/{orchestra.pid('t-a-1')}").exists()
