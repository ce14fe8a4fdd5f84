"""Ways out of containers that other runtimes had to learn about, tried through the whole of orchestra."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from whole.stage import Stage, idle, py

from orchestra.client import dial
from orchestra.errors import OrchestraError
from orchestra.keeper.claim import claim
from orchestra.places import Home

pytestmark = pytest.mark.kernel

FLIP = """
import os
os.makedirs("/shared/real", exist_ok=True)
number = 0
while True:
    number += 1
    try:
        os.symlink(("/proc", "/etc", "/sys/kernel", "../../../../../../etc")[number % 4], "/shared/new")
        os.rename("/shared/sub", "/shared/old") if os.path.lexists("/shared/sub") else None
        os.rename("/shared/new", "/shared/sub")
        os.unlink("/shared/sub")
        os.rename("/shared/old", "/shared/sub") if os.path.lexists("/shared/old") else os.mkdir("/shared/sub")
    except OSError:
        for name in ("new", "old"):
            try:
                os.unlink(f"/shared/{name}")
            except OSError:
                pass
"""


@pytest.fixture(scope="module")
def plain(shared: Stage) -> Stage:
    """One container with the defaults."""
    shared.up({"a": idle()})
    return shared


def test_no_descriptor_leads_out_by_the_working_directory(plain: Stage) -> None:
    """A folder of the host that were open while a process enters would be its /proc/self/fd/N (CVE-2024-21626)."""
    root = os.stat("/").st_ino
    for number in range(3, 24):
        done = plain.run("exec", "-T", "-w", f"/proc/self/fd/{number}", "a", "stat", "-c", "%n %i", ".", "../../..")
        assert done.returncode != 0 or str(root) not in done.stdout.split(), (number, done.stdout)
        assert "Traceback" not in done.stderr


def test_a_service_cannot_start_in_a_descriptor(orchestra: Stage) -> None:
    """The same for a service's own working directory: the start is refused, in words."""
    orchestra.write({"services": {f"a{n}": idle(working_dir=f"/proc/self/fd/{n}") for n in (7, 8, 9, 12)}})
    said = orchestra.fails("up", "-d")
    assert "working directory /proc/self/fd/" in said


def test_the_program_that_enters_cannot_be_overwritten(plain: Stage) -> None:
    """By /proc/self/exe, also as the interpreter of a script that somebody else is made to run (CVE-2019-5736)."""
    ours = Path(os.path.realpath(sys.executable))
    before = hashlib.sha256(ours.read_bytes()).hexdigest()
    plain.inside("a", "printf '#!/proc/self/exe\\n' > /trap; chmod 755 /trap")
    plain.run("exec", "-T", "a", "/trap")
    overwrite = (
        "import os\n"
        "for pid in [p for p in os.listdir('/proc') if p.isdigit()] + ['self']:\n"
        "    for flags in (os.O_WRONLY, os.O_RDWR | os.O_TRUNC):\n"
        "        try:\n"
        "            os.open(f'/proc/{pid}/exe', flags)\n"
        "            print('opened', pid)\n"
        "        except OSError:\n"
        "            pass\n"
    )
    assert plain.python("a", overwrite) == ""
    assert hashlib.sha256(ours.read_bytes()).hexdigest() == before


def test_a_hostile_root_is_not_followed_out_of(orchestra: Stage) -> None:
    """Its /dev, /proc, /etc/hosts and mount points are links to the host's (CVE-2026-41579, -47766)."""
    victim = orchestra.work / "victim"
    (victim / "etc").mkdir(parents=True)
    (victim / "file").write_text("untouched")
    root = orchestra.work / "root"
    for folder in ("usr", "etc", "lib64x"):
        (root / folder).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    up = "../" * 20
    (root / "dev").symlink_to(f"{up}{victim}")
    (root / "proc").symlink_to(f"{up}{victim}")
    (root / "sys").symlink_to(str(victim))
    (root / "etc/hosts").symlink_to(str(victim / "file"))
    (root / "etc/resolv.conf").symlink_to(f"{up}{victim}/file")
    (root / "data").symlink_to(f"{up}{victim}/etc")
    (root / "run").symlink_to(str(victim))
    orchestra.write(
        {
            "services": {
                "a": {
                    "rootfs": "./root",
                    "command": ["sh", "-c", "echo x > /data/new; echo x > /etc/hosts; sleep 1000"],
                    "volumes": ["/usr:/usr:ro", "kept:/data/deep"],
                    "tmpfs": ["/data/fast"],
                    "secrets": ["s"],
                    "stop_signal": "SIGKILL",
                }
            },
            "volumes": {"kept": {}},
            "secrets": {"s": {"file": "./victim/file"}},
        }
    )
    done = orchestra.run("up", "-d")
    assert "Traceback" not in done.stderr
    assert "fault in orchestra" not in done.stderr
    orchestra.run("down")
    assert (victim / "file").read_text() == "untouched"
    assert sorted(path.name for path in victim.rglob("*")) == ["etc", "file"]


def test_a_mount_point_that_somebody_swaps_leads_nowhere(orchestra: Stage) -> None:
    """Two containers share a volume; one swaps a folder for a link while the other mounts there (CVE-2021-30465)."""
    before = Path("/proc/self/mountinfo").read_text().count("\n")
    orchestra.up(
        {
            "flipper": py(FLIP, volumes=["both:/shared"], stop_signal="SIGKILL"),
            "b": idle(volumes=["both:/shared", "inner:/shared/sub"]),
        },
        volumes={"both": {}, "inner": {}},
    )
    for _ in range(12):
        done = orchestra.run("restart", "-t", "0", "b")
        assert "Traceback" not in done.stderr + done.stdout
    for name in ("/proc/version", "/etc/passwd"):
        assert Path(name).read_text()
    orchestra.ok("down", "-t", "0")
    assert Path("/proc/self/mountinfo").read_text().count("\n") <= before


def test_a_container_cannot_fill_the_hosts_run_directory(plain: Stage) -> None:
    """What it writes to its hosts, hostname and resolv.conf ends soon, and is not the host's."""
    fill = (
        "for n in hosts hostname resolv.conf; do head -c 50000000 /dev/zero > /etc/$n; done 2>&1; du -ck /etc/hosts"
    )
    said = plain.inside("a", f"cp /etc/resolv.conf /tmp; {fill}; cat /tmp/resolv.conf > /etc/resolv.conf")
    assert "No space left" in said
    run = Path(plain.stack().run)
    assert (
        sum(path.stat().st_size for path in run.rglob("*") if path.is_file() and path.parent.name != "ns") < 1 << 20
    )


def test_no_socket_of_ours_has_an_abstract_name(plain: Stage) -> None:
    """Whoever shares the host's network namespace reaches every abstract socket (CVE-2020-15257)."""
    names = [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()[1:] if "@" in line]
    assert not [name for name in names if "orchestra" in name or str(plain.folder) in name]


def test_a_request_without_end_is_cut_off(plain: Stage) -> None:
    """The supervisor keeps no more of a message than a message may be long, and serves others meanwhile."""
    places = plain.stack()
    for name in ("api.sock", "keeper.sock"):
        with contextlib.closing(dial(places.run, name)) as client:
            client.settimeout(20)
            assert _is_cut_off(client), name
    assert plain.row("t-a-1")["State"] == "running"


def _is_cut_off(client: socket.socket) -> bool:
    """Whether the other side closes before it has taken a hundred megabytes."""
    try:
        for _ in range(400):
            client.sendall(b"x" * (1 << 18))
    except ConnectionError:
        return True
    return False


def test_the_network_of_the_host_is_given_with_a_warning(orchestra: Stage) -> None:
    """Whoever takes it is told what it takes along."""
    orchestra.write({"services": {"a": idle(network_mode="host")}})
    assert "network_mode: host" in orchestra.run("config", "-q").stderr


def test_another_user_cannot_make_a_run_directory_for_root(tmp_path: Path) -> None:
    """A folder that somebody else could have prepared is not used: a link is not followed, one of theirs refused."""
    home = tmp_path / "home"
    (home / "run").mkdir(parents=True)
    os.chmod(home, 0o755)
    (home / "run/t").symlink_to("/tmp")
    stack = tmp_path / "stack.yml"
    stack.write_text("name: t\nservices: {a: {rootfs: host, command: 'true'}}\n")

    def orchestra(*words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "orchestra.cli.main", *words, "-f", str(stack)],
            env={**os.environ, "ORCHESTRA_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done

    assert orchestra("up", "-d").returncode == 0
    assert (home / "run/t").is_dir()
    assert not (home / "run/t").is_symlink()
    assert not Path("/tmp/api.sock").exists()
    assert orchestra("down", "-v").returncode == 0
    os.chown(home / "run", 65534, 65534)
    with pytest.raises(OrchestraError, match="is not a directory of ours"):
        claim(Home(str(home / "run"), str(home / "data")).stack("t"))
