"""`python -m tests.v2`: the tests of limits and the store on a real cgroup v2, in a virtual machine.

This kind of machine may have its controllers in v1; most have v2. So a Debian with systemd, its own kernel and a v2
hierarchy is started in qemu (software emulation: no KVM needed) and runs the tests in there. The system is made once
by debootstrap and kept in the cache directory; the project goes in on a second disk, made anew each time. Needs root,
Debian's packages (installed here when they are missing) and some minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNIT = Path(__file__).with_name("check.service")
PYTHON_OF = {"bookworm": "3.11", "trixie": "3.13"}
PACKAGES = (
    "ca-certificates,dbus,initramfs-tools,iproute2,kmod,linux-image-cloud-amd64,nftables,procps,python3,systemd-sysv"
)
TOOLS = {"qemu-system-x86_64": "qemu-system-x86", "debootstrap": "debootstrap", "mke2fs": "e2fsprogs"}
LONGEST = 3600
MEMORY = "3072"
TESTS = (
    "tests/v2/on_v2.py",
    "tests/runtime/test_cgroups.py",
    "tests/runtime/test_limits.py",
    "tests/whole/test_limited.py",
    # Bandwidth takes modules of the kernel; how exact it is cannot be measured under emulation.
    "tests/network/test_shaping.py::test_a_plug_by_which_it_is_shared_follows",
    "tests/network/test_shaping.py::test_a_rate_changes_and_is_lifted_without_touching_the_link",
    "tests/network/test_shaping.py::test_who_has_rights_over_its_links_cannot_lift_its_egress",
)
VERDICT = re.compile(r"^tests on cgroup v2: exit (\d+)", re.MULTILINE)


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.v2", description=__doc__)
    options.add_argument("tests", nargs="*", default=TESTS, help="what pytest is given, options included")
    options.add_argument("--suite", choices=PYTHON_OF, default="bookworm", help="which Debian")
    options.add_argument("--anew", action="store_true", help="make the system anew")
    asked = options.parse_args()
    install()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "orchestra-v2")
    if asked.anew:
        shutil.rmtree(cache, ignore_errors=True)
    system = made_system(cache, asked.suite)
    with tempfile.TemporaryDirectory(prefix="orchestra-v2-") as folder:
        disk = project_disk(Path(folder), asked.suite, asked.tests)
        return boot(system, disk, Path(folder))


def install() -> None:
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        run("apt-get", "update", "-q")
        run("apt-get", "install", "-qy", "--no-install-recommends", *missing)


def made_system(cache: Path, suite: str) -> Path:
    """The folder with `disk`, `vmlinuz` and `initrd` of a system that runs our unit and powers off."""
    recipe = hashlib.sha256(Path(__file__).read_bytes() + UNIT.read_bytes()).hexdigest()[:12]
    done = cache / f"{suite}-{recipe}"
    if done.is_dir():
        return done
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="making-", dir=cache) as folder:
        tree, system = Path(folder, "tree"), Path(folder, "system")
        system.mkdir()
        print(f"making a Debian {suite} in {cache}", flush=True)
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(tree))
        units = tree / "etc/systemd/system"
        shutil.copy(UNIT, units)
        (units / "multi-user.target.wants").mkdir(exist_ok=True)
        (units / "multi-user.target.wants" / UNIT.name).symlink_to(f"/etc/systemd/system/{UNIT.name}")
        # A login prompt would hang up the console that the tests write to.
        (units / "serial-getty@ttyS0.service").symlink_to("/dev/null")
        (tree / "etc/fstab").write_text("/dev/vdb /project ext4 defaults 0 0\n")
        (tree / "project").mkdir()
        for name in ("vmlinuz", "initrd"):
            [found] = tree.glob(f"boot/{name}*")
            shutil.copy(found, system / name)
        new_disk(system / "disk", tree, "3G")
        system.rename(done)
    return done


def project_disk(folder: Path, suite: str, tests: list[str]) -> Path:
    """The project as it is in the working tree, with what it needs from PyPI beside it."""
    tree = folder / "project"
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    platforms = [f"--platform=manylinux{version}_x86_64" for version in ("2014", "_2_17", "_2_28")]
    run(
        *(sys.executable, "-m", "pip", "install", "-qq", "--target", str(tree / "site"), "--only-binary=:all:"),
        *(f"--python-version={PYTHON_OF[suite]}", "--implementation=cp", *platforms),
        *(*needed, "pytest", "pytest-timeout", "hypothesis", "dnspython"),
    )
    (tree / "asked").write_text("".join(f"{test}\n" for test in tests))
    new_disk(folder / "project.disk", tree, "1G")
    return folder / "project.disk"


def new_disk(path: Path, tree: Path, size: str) -> None:
    run("truncate", "-s", size, str(path))
    run("mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(path))


def boot(system: Path, disk: Path, folder: Path) -> int:
    """Start the machine, show what it says, and return how its tests ended. Nothing it writes is kept."""
    begun = time.monotonic()
    machine = subprocess.Popen(
        [
            *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", MEMORY),
            *("-kernel", str(system / "vmlinuz"), "-initrd", str(system / "initrd")),
            *("-append", "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=0"),
            *("-drive", f"file={system / 'disk'},if=virtio,format=raw,snapshot=on"),
            *("-drive", f"file={disk},if=virtio,format=raw"),
            *("-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-nic", "none"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    said = ""
    try:
        for line in _lines(machine, begun + LONGEST):
            sys.stdout.write(line)
            sys.stdout.flush()
            said += line
    finally:
        machine.kill()
        machine.wait()
    verdict = VERDICT.search(said.replace("\r", ""))
    print(f"{time.monotonic() - begun:.0f} s in the virtual machine")
    return int(verdict[1]) if verdict else 1


def _lines(machine: subprocess.Popen[bytes], end: float) -> Iterator[str]:
    assert machine.stdout is not None
    for line in machine.stdout:
        yield line.decode(errors="replace")
        if time.monotonic() > end:
            yield f"no end within {LONGEST} s\n"
            return


def run(*words: str, cwd: Path | None = None) -> str:
    """What the command says; its own errors are shown as they come. Raises SystemExit when it fails."""
    done = subprocess.run(words, cwd=cwd, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}\n{' '.join(words[:3])} … ended with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
