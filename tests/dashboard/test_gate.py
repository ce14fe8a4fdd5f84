"""Who gets in, judged from the head of a request alone; and what is never shown."""

from __future__ import annotations

import pytest

from orchestra.dashboard.gate import Asked, Gate, Refusal, Session
from orchestra.dashboard.serve import Wishes, hosts
from orchestra.plan.masking import MASK, masked, masked_text


def asked(
    path: str = "/api/state", method: str = "GET", query: str = "", kind: str = "http", **headers: str
) -> Asked:
    said = {"host": "127.0.0.1:7077", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Asked(kind, method, path, query, said)


@pytest.fixture
def gate() -> Gate:
    return Gate(7077, hosts(Wishes()))


def signed_in(gate: Gate) -> tuple[dict[str, str], Session]:
    entered = gate.enter(gate.new_token())
    assert entered is not None
    return {"cookie": f"{gate.cookie_name}={entered[0]}", "x_orchestra_key": entered[1].key}, entered[1]


def test_a_link_is_good_once(gate):
    """The second use of a token is as good as a wrong one."""
    token = gate.new_token()
    assert gate.enter(token)
    assert gate.enter(token) is None


@pytest.mark.parametrize("token", ["", "x", "é"])
def test_a_wrong_token_is_no_way_in(gate, token):
    """Nor is none at all, before the first link is made and after."""
    assert gate.enter(token) is None
    gate.new_token()
    assert gate.enter(token) is None


def test_a_new_link_makes_the_one_before_worthless(gate):
    """Only the link that was printed last can be used."""
    first = gate.new_token()
    gate.new_token()
    assert gate.enter(first) is None


def test_a_session_needs_cookie_and_key(gate):
    """Another service of this host may see the cookie; a page of it cannot have the key."""
    has, session = signed_in(gate)
    assert gate.judge(asked(**has)) == session
    assert gate.judge(asked(cookie=has["cookie"])) == Refusal(
        403, "this page does not belong to the session: open a new link"
    )
    assert gate.judge(asked(cookie=has["cookie"], query=f"key={session.key}")) == session
    assert isinstance(gate.judge(asked(x_orchestra_key=has["x_orchestra_key"])), Refusal)


def test_the_key_of_one_session_does_not_open_another(gate):
    """Each has its own."""
    one, _ = signed_in(gate)
    other, _ = signed_in(gate)
    judged = gate.judge(asked(cookie=one["cookie"], x_orchestra_key=other["x_orchestra_key"]))
    assert isinstance(judged, Refusal)
    assert judged.status == 403


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:7077", "127.0.0.1", "127.0.0.1:80", "127.0.0.1.evil.example:7077"]
)
def test_a_foreign_host_gets_nothing(gate, host):
    """Also with everything else right: a name that somebody else made to lead here (DNS rebinding)."""
    has, _ = signed_in(gate)
    judged = gate.judge(asked(**{**has, "host": host}))
    assert judged == Refusal(403, "this is not the address of this dashboard")


@pytest.mark.parametrize("host", ["127.0.0.1:7077", "localhost:7077", "[::1]:7077", "LOCALHOST:7077"])
def test_the_machine_itself_is_known_by_its_names(gate, host):
    """Loopback by address and by name."""
    has, session = signed_in(gate)
    assert gate.judge(asked(**{**has, "host": host})) == session


@pytest.mark.parametrize(
    ("host", "good"),
    [("10.1.2.3:7077", True), ("[fd00::1]:7077", True), ("box", True), ("evil.example:7077", False)],
)
def test_who_listens_to_everybody_answers_to_addresses_and_given_names(host, good):
    """An address cannot be rebound; a name counts only if it was given."""
    gate = Gate(7077, hosts(Wishes("0.0.0.0")), names=("box",))
    has, session = signed_in(gate)
    assert (gate.judge(asked(**{**has, "host": host})) == session) is good


@pytest.mark.parametrize(
    "said",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8080"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"},
    ],
)
def test_what_a_foreign_page_asks_for_gets_nothing(gate, said):
    """Other ports of this host are foreign as well: whoever publishes one is somebody else."""
    has, _ = signed_in(gate)
    judged = gate.judge(asked(**has, **said))
    assert isinstance(judged, Refusal)
    assert judged.status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_a_change_without_the_key_gets_nothing(gate, method):
    """Whatever the path: a form of another site can carry the cookie, never the key."""
    has, session = signed_in(gate)
    assert isinstance(gate.judge(asked("/", method, cookie=has["cookie"])), Refusal)
    assert gate.judge(asked("/", method, origin="http://127.0.0.1:7077", **has)) == session


def test_a_terminal_needs_the_origin_of_its_page(gate):
    """Browsers let any page open a socket to anybody, and say where it comes from."""
    has, session = signed_in(gate)
    assert isinstance(gate.judge(asked("/api/x", kind="websocket", **has)), Refusal)
    assert gate.judge(asked("/api/x", kind="websocket", origin="http://127.0.0.1:7077", **has)) == session


def test_only_so_many_sessions_are_kept(gate):
    """The oldest one goes."""
    first, _ = signed_in(gate)
    for _ in range(64):
        last, session = signed_in(gate)
    assert isinstance(gate.judge(asked(**first)), Refusal)
    assert gate.judge(asked(**last)) == session


def test_the_monitor_reads_metrics_and_nothing_else():
    """With its token; without a session."""
    gate = Gate(7077, hosts(Wishes()), monitor="m0n1tor")
    bearer = {"authorization": "Bearer m0n1tor"}
    assert gate.judge(asked("/metrics", **bearer)) is None
    assert isinstance(gate.judge(asked("/metrics", authorization="Bearer other")), Refusal)
    assert isinstance(gate.judge(asked("/api/state", **bearer)), Refusal)
    assert isinstance(Gate(7077, hosts(Wishes())).judge(asked("/metrics", authorization="Bearer ")), Refusal)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("POSTGRES_PASSWORD", "hunter2", MASK),
        ("api_key", "hunter2", MASK),
        ("GITHUB_TOKEN", "hunter2", MASK),
        ("DATABASE_URL", "postgres://ada:hunter2@db/x", f"postgres://ada:{MASK}@db/x"),
        ("PATH", "/usr/bin", "/usr/bin"),
        ("KEYBOARD", "us", "us"),
        ("PASSENGERS", "4", "4"),
        ("PORT", 8080, 8080),
    ],
)
def test_values_that_are_named_like_secrets_are_masked(name, value, shown):
    """And passwords in addresses, whatever their name."""
    assert masked({name: value}) == {name: shown}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("serve --password hunter2 --port 80", f"serve --password {MASK} --port 80"),
        ("serve --api-key=hunter2", f"serve --api-key={MASK}"),
        ("env DB_PASSWORD=hunter2 serve", f"env DB_PASSWORD={MASK} serve"),
        ("python3 /app/main.py", "python3 /app/main.py"),
    ],
)
def test_command_lines_are_shown_without_their_secrets(text, shown):
    """Options and assignments."""
    assert masked_text(text) == shown
