"""Where a container's files live, who owns them, and how long they stay."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from .stage import Stage, idle, sh, until

pytestmark = pytest.mark.kernel


WATCHED = ["/proc:/host/proc:ro", "/sys:/host/sys:ro", "/:/rootfs:ro,rslave", "/var/run:/var/run:ro"]
"""As the compose files of node-exporter and cadvisor have it."""


@pytest.fixture(scope="module")
def furnished(shared: Stage) -> Stage:
    """One container with every kind of mount."""
    (shared.work / "bound").mkdir()
    (shared.work / "bound/there").write_text("from the host")
    (shared.work / "ro").mkdir()
    (shared.work / "pass.txt").write_text("hunter2")
    (shared.work / "app.conf").write_text("colour=blue")
    os.chmod(shared.work / "pass.txt", 0o600)
    shared.up(
        {
            "a": idle(
                volumes=[
                    "kept:/kept",
                    "./bound:/bound",
                    "./ro:/ro:ro",
                    "/anonymous",
                    "/dev/null:/etc/issue:ro",
                    {"type": "tmpfs", "target": "/quick", "tmpfs": {"size": "1m", "mode": 0o700}},
                ],
                tmpfs=[
                    "/scratch",
                    "/small:size=64k,mode=1770",
                    "/tools:exec,uid=1000,nr_inodes=20",
                    "/tenth:size=10%",
                ],
                secrets=["pass", {"source": "pass", "target": "own", "uid": "1000", "gid": "1001", "mode": 0o440}],
                configs=["settings", {"source": "said", "target": "/etc/said.conf", "uid": "5", "mode": 0o600}],
            ),
            "closed": idle(read_only=True, tmpfs=["/scratch"], volumes=["kept:/kept"]),
            "plain": idle(user="1000:1000", secrets=["pass"], volumes=["kept:/kept"]),
            "exporter": idle(volumes=WATCHED),
        },
        volumes={"kept": {}},
        secrets={"pass": {"file": "./pass.txt"}},
        configs={"settings": {"file": "./app.conf"}, "said": {"content": "said here\n"}},
    )
    return shared


def test_ps_tells_what_is_mounted(furnished: Stage) -> None:
    """Volumes by their names, folders of the host by their paths, as docker compose's JSON has them."""
    row = furnished.row("t-a-1")
    assert row["Mounts"].split(",")[:3] == ["t_kept", f"{furnished.work}/bound", f"{furnished.work}/ro"]
    assert (row["LocalVolumes"], row["Networks"]) == ("2", "t_default")


def test_a_read_only_root_cannot_be_written(furnished: Stage) -> None:
    """read_only closes the root, not the mounts on it."""
    said = furnished.inside("closed", "touch /etc/x /x 2>&1; touch /scratch/x /kept/x && echo open")
    assert said.count("Read-only file system") == 2
    assert said.endswith("open")


def test_without_read_only_the_root_is_the_containers_own(furnished: Stage) -> None:
    """The root can be written, and the host's folders stay as they are."""
    assert furnished.inside("a", "echo x > /etc/new && cat /etc/new") == "x"
    assert not os.path.exists("/etc/new")


def test_programs_run_from_a_tmpfs_that_says_so(furnished: Stage) -> None:
    """`exec`, an owner and a bound on files reach the kernel; without `exec` nothing there can be run."""
    assert furnished.inside("a", "stat -c %u /tools; cp /bin/true /tools && /tools/true && echo ran") == "1000\nran"
    assert "denied" in furnished.inside("a", "cp /bin/true /scratch && /scratch/true 2>&1 || true")
    assert "No space" in furnished.inside("a", "touch $(seq -f /tools/%g 30) 2>&1 || true")


def test_a_tmpfs_is_in_memory_and_as_large_as_asked(furnished: Stage) -> None:
    """`tmpfs` with size and mode."""
    assert "tmpfs" in furnished.inside("a", "grep ' /scratch ' /proc/mounts")
    assert "No space" in furnished.inside("a", "head -c 1m /dev/zero 2>&1 > /small/x || true")
    assert furnished.inside("a", "stat -c %a /small") == "1770"
    assert furnished.inside("a", "stat -c %a /quick; df --output=size /quick | tail -1").split() == ["700", "1024"]
    tenth = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 10
    assert tenth * 0.95 < 1024 * int(furnished.inside("a", "df --output=size /tenth | tail -1")) <= tenth * 1.01


def test_a_bind_mount_shows_the_hosts_folder(furnished: Stage) -> None:
    """What the host writes is seen inside, and the other way round."""
    assert furnished.inside("a", "cat /bound/there") == "from the host"
    furnished.inside("a", "echo back > /bound/back")
    assert (furnished.work / "bound/back").read_text() == "back\n"


def test_the_null_device_masks_a_file(furnished: Stage) -> None:
    """As people do to a file of an image that they do not want; it can be read, and is empty."""
    assert furnished.inside("a", "test -c /etc/issue && cat /etc/issue && echo empty") == "empty"


def test_the_machine_can_be_watched(furnished: Stage) -> None:
    """Its processes, devices and file systems; what could not be idmapped is told once, in `up` and in events."""
    uptime = furnished.inside(
        "exporter", "cat /host/proc/1/mounts > /dev/null; cat /rootfs/proc/uptime; ls /host/sys"
    )
    assert float(uptime.split()[0]) > 0
    assert "class" in uptime.split()
    assert furnished.inside("exporter", "stat -c %u /rootfs /rootfs/proc") == "0\n65534"
    told = "exporter: proc at /proc cannot be idmapped: files there belong to nobody (65534) inside"
    assert told in furnished.run("up", "-d").stderr
    furnished.ok("restart", "exporter")
    assert furnished.ok("events", "--since", "1h", "--until", "0s").count(told) == 1


def test_our_own_sockets_do_not_answer_a_container(furnished: Stage) -> None:
    """Who mounts the whole machine sees them as its root, and is not let in all the same."""
    places = furnished.stack("t")
    said = furnished.python(
        "exporter",
        "import os, socket\n"
        f"for path in {[places.keeper_socket, places.api_socket]!r}:\n"
        " one = socket.socket(socket.AF_UNIX)\n"
        " os.chdir('/rootfs' + os.path.dirname(path))\n"
        " one.connect(os.path.basename(path))\n"
        " try: print(one.recv(1))\n"
        " except ConnectionResetError: print('reset')",
    )
    assert set(said.splitlines()) <= {"b''", "reset"}
    assert len(said.splitlines()) == 2


def test_files_made_in_a_bind_mount_belong_on_disk_to_the_same_user(furnished: Stage) -> None:
    """Root inside is root on disk, and user 1000 is user 1000."""
    furnished.inside("a", "touch /bound/r; touch /bound/u; chown 1000:1001 /bound/u")
    root, user = (os.stat(furnished.work / "bound" / name) for name in "ru")
    assert (root.st_uid, root.st_gid) == (0, 0)
    assert (user.st_uid, user.st_gid) == (1000, 1001)


def test_a_read_only_mount_cannot_be_written(furnished: Stage) -> None:
    """`:ro` is refused even to root inside, and cannot be turned off."""
    assert "Read-only" in furnished.inside("a", "touch /ro/x 2>&1 || true")
    assert furnished.run("exec", "-T", "a", "sh", "-c", "mount -o remount,rw /ro").returncode != 0


def test_files_in_a_named_volume_belong_on_disk_to_the_same_user(furnished: Stage) -> None:
    """A volume looks on disk as if there were no user namespace."""
    furnished.inside("a", "touch /kept/r")
    assert os.stat(Path(furnished.home.volume("t_kept"), "r")).st_uid == 0


def test_a_named_volume_is_shared_by_the_services_that_mount_it(furnished: Stage) -> None:
    """Two containers with different ranges of ids see one volume with the same owners."""
    furnished.inside("a", "echo hello > /kept/word; chown 1000:1000 /kept/word; chmod 600 /kept/word")
    assert furnished.inside("plain", "cat /kept/word") == "hello"


def test_a_secret_is_a_file_below_run_secrets(furnished: Stage) -> None:
    """Readable for root by default, on a file system of its own."""
    assert furnished.inside("a", "cat /run/secrets/pass") == "hunter2"
    assert "tmpfs" in furnished.inside("a", "stat -f -c %T /run/secrets/pass")


def test_a_secret_has_the_owner_and_mode_that_are_asked_for(furnished: Stage) -> None:
    """The long form: target, uid, gid, mode."""
    assert (
        furnished.inside("a", "stat -c '%u %g %a' /run/secrets/own; cat /run/secrets/own") == "1000 1001 440\nhunter2"
    )


def test_a_config_is_a_file_where_it_is_wanted(furnished: Stage) -> None:
    """/NAME by default; content may stand in the stack file."""
    assert furnished.inside("a", "cat /settings") == "colour=blue"
    assert furnished.inside("a", "cat /etc/said.conf; stat -c '%u %a' /etc/said.conf") == "said here\n5 600"


def test_a_secret_is_not_in_the_containers_writable_layer(furnished: Stage) -> None:
    """Nothing of a secret is kept on the host's disk."""
    for folder, _, files in os.walk(furnished.home.stacks):
        for file in files:
            path = Path(folder, file)
            assert path.is_fifo() or b"hunter2" not in path.read_bytes(), path


def test_a_single_file_of_the_host_is_mounted(orchestra: Stage) -> None:
    """Where no file was and over one that is there, read-only or not; a folder that is missing is made."""
    for name in ("one.conf", "two.conf"):
        (orchestra.work / name).write_text(f"{name}\n")
    volumes = ["./one.conf:/etc/app/one.conf:ro", "./two.conf:/etc/hostname", "./missing:/made"]
    orchestra.up({"a": idle(volumes=volumes)})
    assert orchestra.inside("a", "cat /etc/app/one.conf /etc/hostname; ls -A /made") == "one.conf\ntwo.conf"
    assert "Read-only" in orchestra.inside("a", "echo x 2>&1 > /etc/app/one.conf || true")
    orchestra.inside("a", "echo changed > /etc/hostname")
    assert (orchestra.work / "two.conf").read_text() == "changed\n"
    assert (orchestra.work / "missing").is_dir()


def test_a_bound_file_that_is_gone_is_missing_until_it_is_back(orchestra: Stage) -> None:
    """Whoever starts the container, nothing is made in its place; another file by that name is the one that is
    mounted then, since editors save by renaming."""
    file = orchestra.work / "one.conf"
    file.write_text("one")
    orchestra.up({"a": idle(volumes=["./one.conf:/one.conf", "./made:/made"], restart="always")})
    (orchestra.work / "new").write_text("two")
    (orchestra.work / "new").rename(file)
    orchestra.ok("restart", "a")
    assert orchestra.inside("a", "cat /one.conf") == "two"
    file.unlink()
    missing = f"cannot mount {file} at /one.conf: it is missing on the host"
    assert missing in orchestra.fails("restart", "a")
    assert missing in orchestra.fails("up", "-d")
    assert missing in orchestra.fails("up", "-d", "--force-recreate")
    assert not file.exists()
    file.write_text("three")
    orchestra.ok("up", "-d", "--wait")
    file.unlink()
    os.kill(orchestra.pid("t-a-1"), signal.SIGKILL)
    until(lambda: missing in orchestra.ok("why", "a"), "why says that it is missing")
    assert orchestra.row("t-a-1")["State"] == "restarting"
    file.write_text("four")
    until(lambda: orchestra.row("t-a-1")["State"] == "running", "it has come back")
    assert orchestra.inside("a", "cat /one.conf; ls -d /made") == "four/made"


def test_a_named_volume_outlives_the_stack(orchestra: Stage) -> None:
    """`down` and `up` keep what is in a named volume."""
    services = {"a": idle(volumes=["kept:/kept"])}
    orchestra.up(services, volumes={"kept": {}})
    orchestra.inside("a", "echo still here > /kept/word")
    orchestra.ok("down")
    orchestra.up(services, volumes={"kept": {}})
    assert orchestra.inside("a", "cat /kept/word") == "still here"


def test_down_with_volumes_removes_them(orchestra: Stage) -> None:
    """`down --volumes` is the end of named volumes too."""
    services = {"a": idle(volumes=["kept:/kept"])}
    orchestra.up(services, volumes={"kept": {}})
    orchestra.inside("a", "echo gone > /kept/word")
    orchestra.ok("down", "--volumes")
    assert not os.path.exists(orchestra.home.volume("t_kept"))
    orchestra.up(services, volumes={"kept": {}})
    assert orchestra.inside("a", "ls /kept") == ""


def test_the_writable_layer_survives_a_restart_but_not_a_new_container(orchestra: Stage) -> None:
    """A restart is a new run of the same container; --force-recreate makes another container."""
    orchestra.up({"a": idle()})
    orchestra.inside("a", "echo x > /var/mark")
    orchestra.ok("restart", "a")
    assert orchestra.inside("a", "cat /var/mark") == "x"
    orchestra.ok("up", "-d", "--force-recreate")
    assert orchestra.inside("a", "ls /var/mark 2>&1 || true") != "/var/mark"


def test_a_missing_file_of_a_secret_is_told_before_anything_starts(orchestra: Stage) -> None:
    """The error names the secret and the file, also where a folder or a pipe is in its place."""
    orchestra.write({"services": {"a": idle(secrets=["pass"])}, "secrets": {"pass": {"file": "./none.txt"}}})
    missing = orchestra.work / "none.txt"
    assert f"secret pass: {missing} does not exist" in orchestra.fails("up", "-d")
    missing.mkdir()
    assert f"secret pass: {missing} is not a regular file" in orchestra.fails("up", "-d")
    missing.rmdir()
    os.mkfifo(missing)
    assert f"secret pass: {missing} is not a regular file" in orchestra.fails("up", "-d")


def test_up_replaces_who_was_given_another_secret_or_config(orchestra: Stage) -> None:
    """By what the file says, not by its time; who has none of it stays. A restart gives what the file says now."""
    for name in ("pass", "settings"):
        (orchestra.work / name).write_text("one")
    services = {
        "a": idle(secrets=["pass"], configs=["settings"], mem_limit="64m"),
        "b": idle(configs=["settings"]),
        "c": idle(configs=[{"source": "said", "target": "/said"}]),
    }
    more = {
        "secrets": {"pass": {"file": "./pass"}},
        "configs": {"settings": {"file": "./settings"}, "said": {"content": "one"}},
    }
    orchestra.up(services, **more)

    def after_up() -> list[str]:
        pids = {name: orchestra.pid(name) for name in orchestra.rows()}
        orchestra.ok("up", "-d")
        return [name[2] for name in sorted(pids) if orchestra.pid(name) != pids[name]]

    orchestra.ok("update", "--memory", "80m", "a")
    (orchestra.work / "settings").write_text("one")
    assert after_up() == []
    (orchestra.work / "pass").write_text("two")
    assert "the file of a secret or config that it is given" in orchestra.ok("up", "--dry-run")
    assert after_up() == ["a"]
    assert orchestra.inside("a", "cat /run/secrets/pass /settings") == "twoone"
    assert json.loads(orchestra.ok("inspect", "a"))[0]["HostConfig"]["Memory"] == 80 << 20
    (orchestra.work / "settings").write_text("three")
    assert after_up() == ["a", "b"]
    assert orchestra.inside("b", "cat /settings") == "three"
    more["configs"]["said"] = {"content": "two"}
    orchestra.write({"services": services, **more})
    assert after_up() == ["c"]
    assert orchestra.inside("c", "cat /said") == "two"
    (orchestra.work / "pass").write_text("four")
    orchestra.ok("restart", "a")
    assert orchestra.inside("a", "cat /run/secrets/pass") == "four"
    assert after_up() == []
    (orchestra.work / "pass").write_text("two")
    assert after_up() == ["a"]
    assert orchestra.inside("a", "cat /run/secrets/pass") == "two"
    assert after_up() == []


def test_a_folder_of_the_host_can_be_the_root(orchestra: Stage) -> None:
    """`rootfs: ./dir` is the lowest layer, and is not changed by what the container writes."""
    root = orchestra.work / "root"
    for folder in ("usr", "etc", "proc", "sys", "dev", "tmp"):
        (root / folder).mkdir(parents=True)
    for link in ("bin", "lib", "lib64"):
        (root / link).symlink_to(f"usr/{link}")
    orchestra.up(
        {
            "a": sh(
                "echo in $(pwd) > /new; trap 'exit 0' TERM; sleep 1000 & wait",
                rootfs="./root",
                volumes=["/usr:/usr:ro"],
            )
        }
    )
    assert orchestra.inside("a", "cat /new") == "in /"
    assert not (root / "new").exists()
