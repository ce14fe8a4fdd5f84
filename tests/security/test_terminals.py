"""What a container, a file or its name says is read on a terminal and never obeyed: every command, every field."""

from __future__ import annotations

import re

import pytest
from whole.stage import Stage, py, sh, until
from whole.terminal import at_terminal

from orchestra.cli.group import COMMANDS

pytestmark = pytest.mark.kernel
EVIL = "E\x1b]0;PWN\x07\x1b[5;9H\x1b[31;7;8m\x9b2J\x7f\r\u202eF\u2066\nFORGED"
"""A title, a moved cursor, a colour that hides, C1, DEL, a line written over, a turned order, a line of its own."""
SEEN = re.compile(
    "\x1b\\]|\x1b\\[5;9H|\x1b\\[31;7;8m|[\x07\x7f-\x9f\u202a-\u202e\u2066-\u2069]|\r\u202e|^FORGED", re.M
)
ARGUMENT = EVIL.partition("\n")[0]
UNWALKED = {"exec", "attach", "run"}
"""Their terminal is joined with the container's, as docker joins them."""

SICK = f"""
import http.server, os, socket
evil = {EVIL!r}
print(evil, flush=True)
os.makedirs("/d/" + evil, exist_ok=True)
socket.socket(socket.AF_UNIX).bind("/d/" + evil.split(";")[0])
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500)
        self.end_headers()
        self.wfile.write(evil.encode())
    def log_message(self, *_):
        pass
http.server.HTTPServer(("", 8000), Answer).serve_forever()
"""
FILE = "e\x1b]0;PWN\x07\u202e.yml"
BAD = """
name: t
services:
  a:
    rootfs: host
    KEY: 1
    deploy: {KEY: {a: b}}
    command: ["true", KEY]
    ports: [KEY]
x-alerts: {rules: {KEY: 1}}
"""


def quoted(text: str) -> str:
    return '"' + "".join(f"\\u{ord(each):04x}" for each in text) + '"'


def prepare(stage: Stage) -> None:
    """A stack whose every free text is hostile, and files that cannot be read."""
    check = {"http": "http://:8000/", "interval": "200ms", "retries": 1, "start_period": "5s"}
    hostile = {"labels": {EVIL: EVIL}, "environment": {"E": EVIL}}
    stage.write({"name": "o", "services": {"b": {"rootfs": "host", "command": ["true"]}}}, "owner/" + FILE)
    stage.write(
        {
            "services": {
                "a": py(SICK, healthcheck=check, tmpfs=["/d"], **hostile),
                "arg": {"rootfs": "host", "command": ["python3", "-c", "import time; time.sleep(900)", EVIL]},
                "dead": sh(f"printf '%s' '{EVIL}' >&2; exit 3", **hostile),
                "later": sh("sleep 1000", depends_on={"a": {"condition": "service_healthy"}}),
                "lost": {"rootfs": "host", "command": [f"/none/{EVIL}"]},
                "elsewhere": {"uses": {"stack": "owner/" + FILE, "service": "b"}},
            },
            "networks": {"default": {"labels": {EVIL: EVIL}}},
            "volumes": {"v": {"labels": {EVIL: EVIL}}},
            "x-alerts": {"rules": {"words": {"log": [ARGUMENT]}}},
            "x-words": {EVIL: EVIL, "v": f"${{V:-{EVIL}}}"},
        },
        FILE,
    )
    (stage.work / ".env").write_text(f"HOSTILE='{EVIL}'\n")
    (stage.work / "bad.yml").write_text(BAD.replace("KEY", quoted(EVIL)))
    (stage.work / ("torn" + FILE)).write_text("name: t\nservices: [\x7f\n")
    (stage.work / "cmd.yml").write_text(f"name: once\nservices: {{a: {{rootfs: host, command: [{quoted(EVIL)}]}}}}\n")
    stage.write({"name": "said", "services": {"a": sh(f"printf '%s' '{EVIL}'")}}, "said.yml")
    (stage.work / EVIL).write_text("")
    assert stage.run("-f", FILE, "up", "-d").returncode == 1  # one of them cannot be started
    until(lambda: stage.rows("-f", FILE)["t-a-1"]["Health"] == "unhealthy", "it is asked how it is")


WALK = [
    ("up", "-d", "-f", FILE),
    ("up", "-d", "-f", "cmd.yml"),
    ("up", "-f", "said.yml"),
    ("--progress", "plain", "up", "-d", "-f", FILE),
    ("--progress", "json", "up", "-d", "-f", FILE),
    ("up", "--dry-run", "--force-recreate", "-f", FILE),
    ("scale", "-f", FILE, ARGUMENT),
    ("ps", "-f", FILE),
    ("ps", "-f", FILE, "-a", "--no-trunc"),
    ("ps", "-f", FILE, "-a", "--format", "json"),
    ("ps", "--status", ARGUMENT),
    ("ps", "-f", FILE, ARGUMENT),
    ("ps", "-f", "none" + FILE),
    ("top", "-f", FILE),
    ("top", "-f", FILE, "--format", "json"),
    ("stats", "-f", FILE, "--no-stream"),
    ("inspect", "-f", FILE, "a"),
    ("inspect", "-f", FILE, "--env", "--format", "{{.Config.Labels}} {{.State}}", "a"),
    ("-f", FILE, "logs"),
    ("why", "-f", FILE),
    ("cp", "-f", FILE, "a:/d", "got"),
    ("cp", "-f", FILE, f"a:/none{EVIL}", "got"),
    ("cp", "-f", FILE, f"none{EVIL}", "a:/d"),
    ("start", "-f", FILE, "dead"),
    ("restart", "-f", FILE, "dead"),
    ("pause", "-f", FILE, "a"),
    ("unpause", "-f", FILE, "a"),
    ("update", "-f", FILE, "--memory", ARGUMENT, "a"),
    ("wait", "-f", FILE, "dead"),
    ("kill", "-f", FILE, "-s", ARGUMENT, "a"),
    ("port", "-f", FILE, "a", "80"),
    ("events", "-f", FILE, "--since", "10m", "--until", "0s"),
    ("events", "-f", FILE, "--json", "--since", "10m", "--until", "0s"),
    ("alerts", "-f", FILE),
    ("alerts", "-f", FILE, "--json"),
    ("history", "-f", FILE),
    ("history", "-f", FILE, "--json"),
    ("graph", "-f", FILE),
    ("graph", "-f", FILE, "--dot"),
    ("config", "-f", FILE),
    ("config", "-f", FILE, "--format", "json"),
    ("config", "-f", FILE, "--variables"),
    ("config", "-f", FILE, "--environment"),
    ("config", "-q", "-f", "bad.yml"),
    ("config", "-q", "-f", "torn" + FILE),
    ("config", "-f", FILE, "--hash", ARGUMENT),
    ("ls", "-a"),
    ("ls", "--format", "json"),
    ("network", "ls"),
    ("network", "ls", "--format", "json"),
    ("network", "inspect", "t_default"),
    ("network", "rm", ARGUMENT),
    ("volume", "ls"),
    ("volume", "ls", "--format", "json"),
    ("volume", "inspect", "t_v"),
    ("volume", "create", ARGUMENT),
    ("dashboard", "--port", ARGUMENT),
    ("version", ARGUMENT),
    (ARGUMENT,),
    ("create", "-f", FILE),
    ("stop", "-f", FILE, "arg"),
    ("rm", "-f", "-s", "--profile", ARGUMENT, "arg"),
    ("down", "-f", FILE, "-t", "0", ARGUMENT),
    ("down", "-f", FILE, "-v", "-t", "0"),
]


def shown(stage: Stage, *words: str) -> str:
    with at_terminal(stage, *words) as terminal:
        terminal.end()
        return terminal.text.replace("\r\n", "\n")


def command_of(words: tuple[str, ...]) -> str:
    return next((word for word in words if word in COMMANDS), "")


@pytest.mark.timeout(300)
def test_no_command_hands_on_what_commands_a_terminal(orchestra: Stage) -> None:
    """Whatever it prints, of whatever fields; colours and lines of a log are its own."""
    prepare(orchestra)
    wrong, spelled = dict[tuple[str, ...], str](), set[str]()
    for words in WALK:
        text = shown(orchestra, *words)
        if {"logs", "said.yml", "--environment"} & {*words}:
            text = text.replace("\x1b[31;7;8m", "").replace("\nFORGED", "")
        if SEEN.search(text) or "Traceback" in text or "fault in orchestra" in text:
            wrong[words] = text.encode("unicode_escape").decode()
        if "\\u001b]0;PWN" in text:
            spelled.add(command_of(words))
    assert not wrong
    assert {"ps", "why", "events", "history", "top", "graph", "ls", "config", "up", "cp"} <= spelled


def test_every_command_is_walked() -> None:
    """A new one has to be added here."""
    assert {command_of(words) for words in WALK} - {""} | UNWALKED == set(COMMANDS)
