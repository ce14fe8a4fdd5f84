"""Root, binds, volumes, devices, masks and given files."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestra.plan import defaults
from orchestra.runtime import StartError, enter, layers, syscalls
from orchestra.runtime.mounts import fresh
from orchestra.runtime.trees import Mounted

from .conftest import Machine

pytestmark = pytest.mark.kernel

MS_UNBINDABLE = 1 << 17


def bind(source: Path | str, destination: str, *options: str) -> dict[str, Any]:
    return {
        "destination": destination,
        "type": "bind",
        "source": str(source),
        "options": ["rbind", "idmap", *options],
    }


def test_what_a_container_writes_is_its_own(machine: Machine) -> None:
    """The root is writable, survives a restart, and leaves the shared layer as it was."""
    assert machine.shell("echo kept >/etc/mine; echo x >>/etc/passwd").code == 0
    assert machine.shell("cat /etc/mine").out == "kept\n"
    assert machine.shell("cat /etc/mine", name="b").code != 0
    assert not os.path.exists(f"{machine.base}/etc/mine")


def test_a_program_whose_capabilities_nobody_can_have_runs_without_them(machine: Machine) -> None:
    """As Debian's ping: the kernel would refuse to run it, though it needs none of them (ping_group_range)."""
    (layer := machine.folder / "layer").mkdir()
    program = layer / "capable"
    shutil.copy("/bin/true", program)
    net_raw = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)  # linux/capability.h: vfs_cap_data, effective
    os.setxattr(program, "security.capability", net_raw)
    assert machine.run("/capable", layers=[str(layer), machine.base]).code == 0


def test_one_starter_starts_several_where_layers_have_to_be_mounted(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Linux before 6.15: the second container gets the layer, not what was mounted there for the first one."""
    monkeypatch.setattr(layers, "_takes_detached", lambda _release: False)
    specs = [machine.spec("stat", "-c", "%u:%g", "/etc/passwd", name=name) for name in ("a", "b", "c")]
    assert [started.end().out for started in machine.start_by_one(specs)] == ["0:0\n"] * 3


def test_the_writable_layer_belongs_to_the_mapped_root(machine: Machine) -> None:
    """On disk a file that root made inside has the first id of the range."""
    machine.shell("touch /tmp/x")
    assert os.stat(f"{machine.folder}/roots/a/upper/tmp/x").st_uid == machine.range_of("a")


def test_a_volume_keeps_ownership_on_disk(machine: Machine) -> None:
    """Root's files in a volume are root's on disk, uid 1000's are 1000's, and so they are to the next container."""
    (volume := machine.folder / "volume").mkdir()
    made = machine.shell("touch /data/r; touch /data/u; chown 1000:33 /data/u", mounts=[bind(volume, "/data")])
    assert made.code == 0, made
    assert [(p.stat().st_uid, p.stat().st_gid) for p in (volume / "r", volume / "u")] == [(0, 0), (1000, 33)]
    seen = machine.shell("stat -c %u:%g /data/r /data/u", name="b", mounts=[bind(volume, "/data")])
    assert seen.out == "0:0\n1000:33\n"


def test_a_read_only_bind_is_read_only_all_the_way_down(machine: Machine) -> None:
    """Also what is mounted below a read-only folder cannot be written."""
    (top := machine.folder / "top").mkdir()
    (top / "deep").mkdir()
    ended = machine.shell(
        "cat /top/file; touch /top/new; touch /top/deep/new; mount -o remount,rw /top",
        mounts=[bind(_with(top / "file", "text").parent, "/top", "ro")],
    )
    assert ended.out.startswith("text")
    assert ended.out.count("Read-only file system") == 2
    assert not (top / "deep" / "new").exists()


def test_a_file_can_be_bound(machine: Machine) -> None:
    """hosts and resolv.conf are files over files; where nothing was, a file is made."""
    hosts = _with(machine.folder / "hosts", "10.0.0.9 db\n")
    ended = machine.shell(
        "getent hosts db; cat /new/place", mounts=[bind(hosts, "/etc/hosts"), bind(hosts, "/new/place")]
    )
    assert ended.out == "10.0.0.9        db\n10.0.0.9 db\n"


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[Path]:
    """A folder of an overlay, which cannot be idmapped: a file of root's that anybody may read, and one that not."""
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    _with(tmp_path / "lower" / "open", "open").chmod(0o644)
    _with(tmp_path / "lower" / "shut", "shut").chmod(0o600)
    settings: dict[str, str | None] = {
        "lowerdir": str(tmp_path / "lower"),
        "upperdir": str(tmp_path / "upper"),
        "workdir": str(tmp_path / "work"),
    }
    merged = tmp_path / "merged"
    _mount(fresh("overlay", settings, 0), merged)
    yield merged
    syscalls.umount2(str(merged), syscalls.MNT_DETACH)


def _mount(tree: int, place: Path) -> None:
    spot = os.open(place, os.O_PATH)
    syscalls.move_mount(tree, spot, str(place))
    os.close(spot)
    os.close(tree)


def test_what_cannot_be_idmapped_is_mounted_as_it_is(machine: Machine, foreign: Path) -> None:
    """Root's files are nobody's inside, nobody there has rights over them, and set-user-id bits are passed over."""
    ended = machine.shell(
        "stat -c %u:%g /d/open; cat /d/open; cat /d/shut; touch /d/new; chmod 777 /d/open; grep ' /d ' /proc/mounts",
        mounts=[bind(foreign, "/d")],
    )
    assert ended.out.startswith("65534:65534\nopen")
    assert [word in ended.out for word in ("Permission denied", "not permitted")] == [True, True]
    assert "shut\n" not in ended.out
    assert "nosuid,nodev" in ended.out
    assert not (foreign / "new").exists()


def test_each_mount_of_a_tree_is_idmapped_where_it_can_be(machine: Machine, foreign: Path) -> None:
    """A folder of which one mount cannot: it and its other mounts keep their owners inside, all of it is read-only,
    a mount that another one hides stays hidden, and an unbindable one and the pin of a namespace are not shown."""
    (top := machine.folder / "top").mkdir()
    for name in ("foreign", "own", "hid den", "unbindable"):
        (top / name).mkdir()
    pin = _with(top / "pin", "")
    sized: dict[str, str | None] = {"size": "1m"}
    tree = syscalls.open_tree(syscalls.AT_FDCWD, str(foreign), syscalls.OPEN_TREE_CLONE)
    with contextlib.ExitStack() as mounted:
        _mount(tree, top / "foreign")
        mounted.callback(syscalls.umount2, str(top / "foreign"), syscalls.MNT_DETACH)
        _mount(fresh("tmpfs", sized, 0), top / "own")
        mounted.callback(syscalls.umount2, str(top / "own"), syscalls.MNT_DETACH)
        _with(top / "own" / "shut", "mine").chmod(0o600)
        _mount(fresh("tmpfs", sized, 0), top / "unbindable")
        mounted.callback(syscalls.umount2, str(top / "unbindable"), syscalls.MNT_DETACH)
        syscalls.mount("", str(top / "unbindable"), "", MS_UNBINDABLE)
        for text in ("below", "above"):
            _mount(fresh("tmpfs", sized, 0), top / "hid den")
            mounted.callback(syscalls.umount2, str(top / "hid den"), syscalls.MNT_DETACH)
            _with(top / "hid den" / text, text)
        syscalls.mount("/proc/self/ns/net", str(pin), "", syscalls.MS_BIND)
        mounted.callback(syscalls.umount2, str(pin), syscalls.MNT_DETACH)
        ended = machine.shell(
            "stat -c %u /t /t/own/shut /t/foreign/open; cat /t/own/shut; ls '/t/hid den'; touch /t/own/x;"
            "touch '/t/hid den/x'; grep -c 'nsfs\\|unbindable' /proc/self/mountinfo",
            mounts=[bind(top, "/t", "ro")],
        )
    assert ended.out.startswith("0\n0\n65534\nmineabove\n"), ended
    assert ended.out.count("Read-only file system") == 2
    assert ended.out.endswith("\n0\n")


def test_proc_and_sys_of_the_host_can_be_looked_at(machine: Machine) -> None:
    """As whoever watches the machine does. They can only be read, whatever was asked for: a network namespace's
    settings belong to its root."""
    ended = machine.shell(
        "head -c 3 /h/proc/stat; ls -d /h/sys/class/net; stat -c %u /h/proc/1; cat /h/proc/1/environ;"
        "echo 1 >/h/proc/sys/net/ipv4/ip_forward",
        mounts=[bind("/proc", "/h/proc"), bind("/sys", "/h/sys", "ro")],
    )
    assert ended.out.startswith("cpu/h/sys/class/net\n65534\n"), ended
    assert "/h/proc/1/environ: Permission denied" in ended.out
    assert "Read-only file system" in ended.out


def test_the_null_device_masks_a_file(machine: Machine) -> None:
    """It can be opened there, unlike other devices of a bind."""
    mounts = [bind("/dev/null", "/etc/protocols"), bind("/dev/null", "/etc/new"), bind("/dev/kmsg", "/kmsg")]
    ended = machine.shell("cat /etc/protocols && echo x >/etc/new && cat /etc/new; cat /kmsg", mounts=mounts)
    assert ended.out == "cat: /kmsg: Permission denied\n"


def test_a_missing_source_is_said_to_be_missing(machine: Machine) -> None:
    """Also one that a link leads to, or a file where a folder should be; nothing is made in its place."""
    (machine.folder / "link").symlink_to("nowhere")
    (machine.folder / "file").touch()
    for name, said in (
        ("not-there", "not-there at /data: it is missing on the host"),
        ("link", "link at /data: it is a link to nowhere, which is missing on the host"),
        ("file/below", "file/below at /data: it is missing on the host"),
    ):
        with pytest.raises(StartError, match=said):
            machine.shell("true", mounts=[bind(machine.folder / name, "/data")])
    assert sorted(path.name for path in machine.folder.iterdir() if path.name in ("not-there", "nowhere")) == []


def test_links_of_proc_are_not_followed(machine: Machine) -> None:
    """They lead past every path (proc_pid_ns(5), proc_pid_fd(5)); a link in a circle is none the kernel follows."""
    (machine.folder / "circle").symlink_to("circle")
    for source in (f"/proc/{os.getpid()}/ns/net", "/proc/self/cwd", machine.folder / "circle"):
        with pytest.raises(StartError, match=r"cannot mount .* at /data: it is a link of /proc"):
            machine.shell("true", mounts=[bind(source, "/data")])


def test_a_path_is_resolved_while_others_rename(tmp_path: Path) -> None:
    """Whatever they rename: the kernel does not look where (openat2(2), EAGAIN)."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").symlink_to("one/../one")
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            (tmp_path / "here").touch()
            while os.getppid() != 1:
                os.rename(tmp_path / "here", tmp_path / "there")
                os.rename(tmp_path / "there", tmp_path / "here")
        os._exit(0)
    root = os.open(tmp_path, os.O_PATH | os.O_CLOEXEC)
    try:
        for _ in range(20_000):
            os.close(syscalls.openat2(root, "/two/../two", os.O_PATH, syscalls.RESOLVE_IN_ROOT))
    finally:
        os.close(root)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_the_kind_of_a_file_system_may_be_no_text() -> None:
    """`fuse.` is followed by what its user has chosen."""
    mounted = Mounted(b"36 35 98:0 / /mnt\\040two rw,noatime shared:1 - fuse.\xff /dev/root rw")
    assert (mounted.ident, mounted.place, mounted.kind) == (36, "/mnt two", "fuse.\\xff")


def test_what_fails_early_is_told_whole_and_alone(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pid 1 may have failed before the usher has told of it."""
    pack = struct.pack

    def late(shape: str, *values: Any) -> bytes:
        if shape == "i":
            time.sleep(0.3)
        return pack(shape, *values)

    monkeypatch.setattr(enter.struct, "pack", late)
    with pytest.raises(StartError) as told:
        machine.shell("true", mounts=[bind("/etc/passwd", "/etc")])
    assert told.value.what.endswith("in the container there is a folder")


def test_files_and_folders_are_not_mounted_over_each_other(machine: Machine) -> None:
    """In a sentence that says which is which."""
    file = _with(machine.folder / "file", "")
    with pytest.raises(StartError, match="file at /etc: it is a file, and in the container there is a folder"):
        machine.shell("true", mounts=[bind(file, "/etc")])
    with pytest.raises(StartError, match=" at /etc/passwd: it is a folder, and in the container there is a file"):
        machine.shell("true", mounts=[bind(machine.folder, "/etc/passwd")])
    for target in ("/etc/passwd/new", "/etc/passwd/new/deep"):
        with pytest.raises(StartError, match=f"cannot mount {file} at {target}: .*in the container there is a file"):
            machine.shell("true", mounts=[bind(file, target)])
    given = {"destination": "/etc", "content": "", "uid": 0, "gid": 0, "mode": 0o444}
    with pytest.raises(StartError, match="cannot mount /etc: it is a file, and in the container there is a folder"):
        machine.shell("true", files=[given])


def test_links_in_the_root_do_not_lead_out(machine: Machine) -> None:
    """A target that is a link to the host's file is that path inside of the container."""
    outside = _with(machine.folder / "outside", "host")
    inside = _with(machine.folder / "inside", "bound")
    upper = machine.folder / "roots" / "a" / "upper"
    machine.shell(f"mkdir -p /srv; ln -s {outside} /srv/link; mkdir -p {machine.folder}; touch {outside}")
    assert (upper / "srv" / "link").is_symlink()
    ended = machine.shell("cat /srv/link", mounts=[bind(inside, "/srv/link")])
    assert ended.out == "bound"
    assert outside.read_text() == "host"


@pytest.mark.parametrize("place", ["/", "/proc/self", "/../..", "/proc/../proc/sys"])
def test_some_places_cannot_be_mounted_over(machine: Machine, place: str) -> None:
    """The root and everything in /proc stay ours."""
    with pytest.raises(StartError, match="cannot mount over"):
        machine.shell("true", mounts=[bind(machine.folder, place)])


@pytest.mark.parametrize("upper", [True, False])
def test_a_read_only_root(machine: Machine, upper: bool) -> None:
    """`read_only: true` leaves only what is mounted writable, with or without a writable layer below."""
    (volume := machine.folder / "volume").mkdir()
    changes: dict[str, Any] = {} if upper else {"upper": "", "work": ""}
    ended = machine.shell(
        "touch /x /etc/y; touch /data/z /dev/shm/z /scratch/z && echo written; pwd",
        root={"path": "", "readonly": upper},
        cwd="/work/here",
        mounts=[bind(volume, "/data"), tmpfs("/scratch", "size=1m")],
        **changes,
    )
    assert ended.out.count("Read-only file system") == 2
    assert ended.out.endswith("written\n/work/here\n")


def tmpfs(destination: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": list(options)}


def test_a_tmpfs_has_its_size_and_mode(machine: Machine) -> None:
    """Options of a tmpfs reach the kernel."""
    ended = machine.shell(
        "df --output=size /t | tail -1; stat -c %a /t", mounts=[tmpfs("/t", "size=2m", "mode=1770")]
    )
    assert ended.out.split() == ["2048", "1770"]


def test_dev_has_what_programs_need_and_nothing_else(machine: Machine) -> None:
    """Six nodes, the terminals, shared memory, message queues, and links into /proc."""
    ended = machine.shell(
        "ls /dev | tr '\\n' ' '; echo x >/dev/null && head -c 2 /dev/zero | wc -c; touch /dev/x; df /dev"
    )
    wanted = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero".split()  # noqa: SIM905
    assert ended.out.split()[: len(wanted) + 1] == [*wanted, "2"]
    assert machine.shell("readlink /dev/fd /dev/stdin /dev/ptmx").out.split() == [
        "/proc/self/fd",
        "/proc/self/fd/0",
        "pts/ptmx",
    ]


def test_masked_paths_are_empty_and_stay(machine: Machine) -> None:
    """A masked file reads as nothing, a masked folder lists nothing; what this kernel lacks is no error."""
    ended = machine.shell("for p in " + " ".join(defaults.MASKED_PATHS) + "; do cat $p/* $p; ls $p; done 2>/dev/null")
    listed = [line for line in ended.out.splitlines() if not line.startswith(("/proc/", "/sys/"))]
    assert listed == []
    assert os.path.exists("/proc/keys")
    assert machine.shell("cat /proc/keys; stat -c %t:%T /proc/keys").out == "1:3\n"


def test_a_mask_may_stand_for_several(machine: Machine) -> None:
    """As cpu* does for each processor's folder; where there is none, nothing is masked."""
    masked = ["/etc/prot*", "/va*/log", "/nowhere/x*/y", "/proc/sys/vm/swap*"]
    ended = machine.shell("wc -c </etc/protocols; touch /var/log/x; cat /proc/sys/vm/swappiness", maskedPaths=masked)
    assert ended.out.startswith("0\n")
    assert "Read-only file system" in ended.out
    assert len(ended.out.splitlines()) == 2


def test_read_only_paths_cannot_be_written(machine: Machine) -> None:
    """Each of them is a read-only mount."""
    mounts = machine.run("cat", "/proc/self/mountinfo").out.splitlines()
    readonly = {line.split()[4] for line in mounts if "ro" in line.split()[5].split(",")}
    assert {p for p in defaults.READONLY_PATHS if os.path.exists(p)} <= readonly
    assert {"/sys", "/usr", "/sys/fs/cgroup"} <= readonly


def test_secrets_are_files_with_owner_and_mode(machine: Machine) -> None:
    """A secret's bytes come from the spec or a file of the host, on a tmpfs, read-only, nowhere on disk."""
    token = _with(machine.folder / "token", "s3cret")
    files = [
        {"destination": "/run/secrets/token", "source": str(token), "uid": 33, "gid": 33, "mode": 0o400},
        {
            "destination": "/etc/app/conf",
            "content": base64.b64encode(b"\0raw\xff").decode(),
            "uid": 0,
            "gid": 0,
            "mode": 0o444,
        },
    ]
    ended = machine.shell(
        "stat -c '%u:%g %a %s' /run/secrets/token /etc/app/conf; cat /run/secrets/token; echo x >/run/secrets/token;"
        "grep -c secrets/token /proc/self/mountinfo; ls -A /run/secrets",
        files=files,
    )
    assert ended.out.startswith("33:33 400 6\n0:0 444 5\n")
    assert "s3cret" in ended.out
    assert "Read-only" in ended.out
    on_disk = machine.folder / "roots" / "a" / "upper" / "run" / "secrets" / "token"
    assert stat.S_ISREG(on_disk.stat().st_mode)
    assert on_disk.read_bytes() == b""


def test_a_secret_whose_file_is_gone_is_missing(machine: Machine) -> None:
    """In a sentence that names both ends."""
    gone = {"destination": "/run/x", "source": "/nowhere/x", "uid": 0, "gid": 0, "mode": 0o400}
    with pytest.raises(StartError, match="cannot give /run/x: /nowhere/x is missing on the host"):
        machine.shell("true", files=[gone])


def test_a_secret_from_a_fifo_is_refused(machine: Machine) -> None:
    """Only regular files: a FIFO would be waited for."""
    os.mkfifo(fifo := machine.folder / "fifo")
    with pytest.raises(StartError, match="no regular file"):
        machine.shell(
            "true", files=[{"destination": "/run/x", "source": str(fifo), "uid": 0, "gid": 0, "mode": 0o400}]
        )


def _with(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
