"""Looking at containers from close by: processes, use, everything about one, and how they end."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from typing import Any

import pytest

from .stage import COMMAND, Stage, idle, namespaces, py, sh, until
from .terminal import at_terminal

pytestmark = pytest.mark.kernel
PARENT = """
import subprocess, time
subprocess.Popen(["sleep", "4321"])
print("ready", flush=True)
time.sleep(1000)
"""


def inspected(stage: Stage, name: str, *words: str) -> dict[str, Any]:
    (found,) = json.loads(stage.ok("inspect", *words, name))
    return dict(found)


def test_top_has_both_numbers_of_each_process(orchestra: Stage) -> None:
    """The inner ones are those that the container itself sees, the outer ones those of the host."""
    orchestra.up({"a": py(PARENT, user="daemon", stop_signal="SIGKILL"), "b": idle()})
    until(lambda: "ready" in orchestra.logs("a"), "its child runs")
    lines = [json.loads(line) for line in orchestra.ok("top", "--format", "json", "a").splitlines()]
    sleeper = next(one for one in lines if one["Command"] == "sleep 4321")
    assert sleeper["User"] == "daemon"
    inside = orchestra.inside("a", f"tr '\\0' ' ' < /proc/{sleeper['PidInside']}/cmdline")
    with open(f"/proc/{sleeper['Pid']}/cmdline") as outside:
        assert inside == outside.read().replace("\0", " ").strip() == "sleep 4321"
    one = next(each for each in lines if each["PidInside"] == 1)
    assert one["Pid"] == orchestra.pid("t-a-1") == sleeper["Ppid"]
    shown = orchestra.ok("top").splitlines()
    assert shown[0].split() == ["SERVICE", "#", "UID", "PID", "INSIDE", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert {line.split()[0] for line in shown[1:]} == {"a", "b"}


def test_top_does_not_follow_a_containers_links(orchestra: Stage) -> None:
    """A passwd that is a link, a FIFO or full of escape sequences does no harm."""
    bad = {
        "a": "ln -sf /proc/1/environ /etc/passwd",
        "b": "rm /etc/passwd; mkfifo /etc/passwd",
        "c": "printf '\\033[2J:x:0:0::/:\\n' > /etc/passwd",
    }
    orchestra.up({name: sh(f"{script}; echo done; exec sleep 1000") for name, script in bad.items()})
    until(lambda: orchestra.logs().count("done") == 3, "all is set up")
    shown = orchestra.ok("top")
    assert shown.count("sleep 1000") == 3
    assert "\x1b" not in shown


def test_inspect_shows_what_was_asked_and_what_the_kernel_holds(orchestra: Stage) -> None:
    """Namespaces, limits, security, mounts, addresses: each as it can be seen from elsewhere."""
    limits = {"limits": {"memory": "64m", "network": {"egress": "10mbit"}}}
    orchestra.up(
        {"a": idle(cpus=0.5, deploy={"resources": limits}, ulimits={"nofile": 512}, volumes=["v:/data"])},
        volumes={"v": {}},
    )
    found = inspected(orchestra, "a")
    pid = orchestra.pid("t-a-1")
    assert found["State"]["Pid"] == pid
    assert {f"{kind}:[{inode}]" for kind, inode in found["Namespaces"].items()} == set(namespaces(pid).values())
    kernel = found["Limits"]["Kernel"]
    assert (kernel["memory"]["limit"], kernel["pids"]["limit"]) == (64 << 20, 2048)
    assert kernel["cpu"]["quota"] * 2 == kernel["cpu"]["period"]
    assert found["Limits"]["Bandwidth"] == {"ingress": None, "egress": "10mbit"}
    assert found["Limits"]["Ulimits"]["nofile"] == [512, 512]
    assert found["HostConfig"]["Memory"] == 64 << 20
    held = found["Security"]["Kernel"]
    assert held["NoNewPrivileges"] is True
    assert held["Seccomp"] == "filter"
    assert set(held["Capabilities"]["Bounding"]) == set(found["Security"]["Asked"]["Capabilities"])
    assert held["UidMap"][0][0] == 0
    assert held["UidMap"][0][1] > 0
    assert any(mount["Destination"] == "/data" and mount["RW"] for mount in found["Mounts"])
    assert any(mount["Target"] == "/data" for mount in found["MountTable"])
    (network,) = found["NetworkSettings"]["Networks"].values()
    assert network["IPAddress"] in orchestra.inside("a", "cat /etc/hosts")
    assert orchestra.ok("inspect", "--format", "{{.State.Pid}} {{json .State.Running}}", "a") == f"{pid} true\n"
    assert [one["Name"] for one in json.loads(orchestra.ok("inspect", "--format", "json", "a"))] == [found["Name"]]
    assert "no such service or container: c" in orchestra.fails("inspect", "c")


def test_inspect_keeps_secrets(orchestra: Stage) -> None:
    """Neither the contents of a secret nor, unless asked for, values of the environment."""
    secret = orchestra.work / "password"
    secret.write_text("hunter2secret")
    service = idle(secrets=["password"], environment={"TOKEN": "value-of-token"})
    orchestra.up({"a": service}, secrets={"password": {"file": "./password"}})
    assert orchestra.inside("a", "cat /run/secrets/password") == "hunter2secret"
    shown = orchestra.ok("inspect")
    assert "hunter2secret" not in shown
    assert "value-of-token" not in shown
    assert "TOKEN" in shown
    assert "TOKEN=value-of-token" in inspected(orchestra, "a", "--env")["Config"]["Env"]


def test_inspect_has_the_last_probes(orchestra: Stage) -> None:
    """With what they said, and how often it failed in a row."""
    check = {"test": "echo not yet; exit 1", "interval": "100ms", "retries": 2, "start_interval": "100ms"}
    orchestra.up({"a": idle(healthcheck=check)})
    health = until(
        lambda: (h := inspected(orchestra, "a")["State"]["Health"])["Status"] == "unhealthy" and h, "it is"
    )
    assert health["FailingStreak"] >= 2
    assert health["Log"][-1]["Output"] == "not yet"
    assert health["Log"][-1]["ExitCode"] == 1


def test_stats_tell_what_is_used(orchestra: Stage) -> None:
    """docker's columns and keys; a spinning service uses its half of a processor."""
    spin = "x = bytearray(40 << 20); print('ready', flush=True)\nwhile True: pass"
    orchestra.up({"a": py(spin, cpus=0.5, mem_limit="128m", stop_signal="SIGKILL"), "b": idle()})
    until(lambda: "ready" in orchestra.logs("a"), "it spins")
    lines = {
        one["Name"]: one
        for one in map(json.loads, orchestra.ok("stats", "--no-stream", "--format", "json").splitlines())
    }
    assert set(lines) == {"t-a-1", "t-b-1"}
    busy = lines["t-a-1"]
    assert 5 < float(busy["CPUPerc"].rstrip("%")) < 80
    assert busy["MemUsage"].endswith(" / 128MiB")
    assert 30 < float(busy["MemPerc"].rstrip("%")) < 60
    assert busy["PIDs"] == "1"
    orchestra.ok("stop", "b")
    shown = orchestra.ok("stats", "--no-stream", "-a").splitlines()
    assert shown[0].split("  ")[0] == "NAME"
    assert [line.split()[0] for line in shown[1:]] == ["t-a-1", "t-b-1"]


def test_stats_go_on_until_interrupted(orchestra: Stage) -> None:
    """A table a second."""
    orchestra.up({"a": idle()})
    command = [*COMMAND, "-p", "t", "stats"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=orchestra.work, env=orchestra.environ, text=True
    ) as going:
        assert going.stdout is not None
        seen = [going.stdout.readline() for _ in range(4)]
        going.terminate()
        going.stdout.read()
    assert [line.split()[0] for line in seen] == ["NAME", "t-a-1", "NAME", "t-a-1"]


def test_stats_are_redrawn_in_place_on_a_terminal(orchestra: Stage) -> None:
    """With rates from the second time on; Ctrl-C leaves the cursor as it was."""
    orchestra.up({"a": idle()})
    with at_terminal(orchestra, "-p", "t", "stats") as terminal:
        terminal.until(r"t-a-1 +[0-9.]+%")
        terminal.press("\x03")
        assert terminal.end() == 130
    assert "\x1b[H" in terminal.text
    assert terminal.text.count("\x1b[?25h") == 1


def test_wait_ends_with_the_exit_code(orchestra: Stage) -> None:
    """Of whom is over already as well; several are all waited for."""
    orchestra.up({"a": sh("exit 3"), "b": sh("sleep 0.5; exit 4"), "c": idle()})
    done = orchestra.run("wait", "a", "b")
    assert done.returncode == 4
    assert sorted(done.stdout.splitlines()) == [
        'container "t-a-1" exited with status code 3',
        'container "t-b-1" exited with status code 4',
    ]
    assert orchestra.run("wait", "a").returncode == 3
    assert "wait for whom" in orchestra.fails("wait")


def test_wait_can_take_the_stack_down(orchestra: Stage) -> None:
    """--down-project, as soon as the first one has ended."""
    orchestra.up({"a": sh("sleep 0.5; exit 5"), "b": idle()})
    assert orchestra.run("wait", "--down-project", "a", "b").returncode == 5
    assert not os.path.exists(orchestra.stack().api_socket)


def test_wait_survives_the_supervisor(orchestra: Stage) -> None:
    """Its successor is asked."""
    orchestra.up({"a": sh("mkfifo /tmp/go; read x < /tmp/go; exit 6")})
    ended: list[int] = []
    waiting = threading.Thread(target=lambda: ended.append(orchestra.run("wait", "a").returncode))
    waiting.start()
    os.kill(orchestra.supervisor(), 9)
    until(lambda: orchestra.row("t-a-1")["State"] == "running", "the next one answers")
    orchestra.inside("a", "echo > /tmp/go")
    waiting.join(20)
    assert ended == [6]
