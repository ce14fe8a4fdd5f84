"""`rootfs: host`."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from orchestra.runtime import bases

from .conftest import Machine


def test_it_is_built_once(tmp_path: Path) -> None:
    """The same inputs give the same folder, and nothing half-built stays beside it."""
    first = bases.host_base(str(tmp_path / "b"))
    made = os.stat(first).st_ino
    assert bases.host_base(str(tmp_path / "b")) == first
    assert os.stat(first).st_ino == made
    assert os.listdir(tmp_path / "b") == [os.path.basename(first)]


def test_it_holds_no_secret(base: str) -> None:
    """No shadow, no machine-id, no keys; every file may be read by anybody on the host already."""
    names = set(os.listdir(f"{base}/etc"))
    assert names.isdisjoint({"shadow", "gshadow", "machine-id", "ssh", "sudoers", "fstab", "cron.d"})
    assert {"passwd", "group", "hosts", "resolv.conf", "hostname", "nsswitch.conf", "ssl"} <= names
    for folder, _, files in os.walk(base):
        assert "private" not in folder.split("/")
        for name in files:
            mode = os.lstat(f"{folder}/{name}").st_mode
            assert stat.S_ISLNK(mode) or stat.S_ISREG(mode)
            assert not mode & (stat.S_ISUID | stat.S_ISGID)


def test_what_not_everybody_may_read_is_not_copied(tmp_path: Path) -> None:
    """A file by its mode, and all that is in a folder by the folder's."""
    for name in ("open", "shut", "listed", "passed"):
        (tmp_path / "etc" / name).mkdir(parents=True)
        (tmp_path / "etc" / name / "file").write_text(name)
    (tmp_path / "etc" / "open" / "key").touch(0o640)
    for name, mode in (("shut", 0o750), ("listed", 0o754), ("passed", 0o751)):
        (tmp_path / "etc" / name).chmod(mode)
    bases._copy(str(tmp_path / "etc"), str(tmp_path / "copy"))
    copied = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*")}
    assert copied == {"open", "open/file"}


def test_its_python_is_the_running_one() -> None:
    """First on PATH, and bound where it lives outside of /usr."""
    python = f"{os.path.realpath(sys.base_prefix)}/bin/python3"
    first = next(p for p in bases.host_path().split(":") if os.path.exists(f"{p}/python3"))
    assert os.path.realpath(f"{first}/python3") == os.path.realpath(python)
    assert all(os.path.isdir(mount["source"]) for mount in bases.host_binds() if mount["type"] == "bind")


@pytest.mark.kernel
def test_programs_run_in_it(machine: Machine) -> None:
    """Shell, the same Python with its library, certificates, time zone, as a plain user."""
    ended = machine.python(
        "import ssl, sqlite3, sys, time, pwd, zoneinfo, os\n"
        "print(sys.version.split()[0], pwd.getpwuid(33).pw_name)\n"
        "certificates = ssl.create_default_context().get_ca_certs()\n"
        "print(len(certificates) > 50, os.path.realpath('/bin/sh').startswith('/usr'))\n",
        user={"uid": 33, "gid": 33},
    )
    assert ended.out == f"{sys.version.split()[0]} www-data\nTrue True\n"


@pytest.mark.kernel
def test_what_only_the_hosts_root_may_read_below_usr_stays_so(machine: Machine) -> None:
    """By the mode of the file or of a folder above it; for root inside as for anybody."""
    folder = Path(tempfile.mkdtemp(prefix="orchestra-test-", dir="/usr/local/lib"))
    try:
        folder.chmod(0o755)
        for name, mode in (("open", 0o644), ("owner", 0o600), ("group", 0o640)):
            (folder / name).write_text(f"{name}\n")
            (folder / name).chmod(mode)
        (folder / "within").mkdir(0o700)
        (folder / "within" / "file").write_text("within\n")
        ended = machine.shell(f"cd {folder}; stat -c %u:%g open; cat open owner group within/file; ls within")
    finally:
        shutil.rmtree(folder)
    said = [line for line in ended.out.splitlines() if "Permission denied" not in line]
    assert said == ["65534:65534", "open"]


@pytest.mark.kernel
def test_it_is_private(machine: Machine) -> None:
    """Of the host there is /usr and the Python, both read-only; what is around them is empty or its own."""
    ended = machine.shell(
        "cat /etc/passwd | wc -l; ls -A /home /var/log /opt /srv /mnt; ls -A /usr/local/etc; touch /usr/x; id -un;"
        "test -d /root && ls -A /root"
    )
    assert "Read-only file system" in ended.out
    assert ended.out.split()[0] == "7"
    below_root = bases._python().split("/")[2:3] if bases._python().startswith("/root/") else []
    assert ended.out.splitlines()[-1 - len(below_root) :][0] in ("root", *below_root)
