"""The forum through its web front, as plain processes: what is said, by whom, and once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_processes import EXAMPLES, LIB, Forum
from window import Window

from orchestra.stack.files import Request, load
from orchestra.stack.model import Port


@pytest.fixture
def forum(tmp_path: Path) -> Iterator[Forum]:
    forum = Forum(tmp_path)
    try:
        forum.start()
        yield forum
    finally:
        forum.stop_all()


def member(forum: Forum, email: str = "ada@example.org", name: str = "Ada Lovelace") -> Window:
    window = Window(forum.url("web"))
    assert name in window.sign_up(email, name).text
    return window


def begin(window: Window, title: str, body: str) -> str:
    """The path of a new topic."""
    return window.send(window.open("/new").form("/new"), title=title, body=body).path


def test_the_file_says_what_the_programs_need() -> None:
    """Two services of its own on data of their own, one front, and accounts of another stack."""
    stack = load(Request(files=("forum.yml",), cwd=str(EXAMPLES / "forum"))).stack
    assert sorted(stack.services) == ["topics", "web"]
    assert stack.uses["accounts"].file == str(EXAMPLES / "accounts/accounts.yml")
    assert stack.services["web"].ports == (Port(8080, (8081, 8081), "127.0.0.1"),)
    for name, needs in (("topics", {"accounts"}), ("web", {"accounts", "topics"})):
        service = stack.services[name]
        assert {need.service for need in service.depends_on} == needs
        assert {mount.source for mount in service.mounts if mount.type == "bind"} == {
            str(EXAMPLES / "forum" / name),
            str(LIB),
        }


def test_there_is_something_to_read_for_everybody(forum: Forum) -> None:
    """Newest talk first; search finds every word in titles and posts."""
    window = Window(forum.url("web"))
    page = window.open("/")
    assert page.text.index("kiln shed roof") < page.text.index("celadon comes out grey")
    found = window.open("/?q=duck%27s+egg").text
    assert "celadon comes out grey" in found
    assert "worst mug" not in found
    assert "Nobody has said" in window.open("/?q=%25_").text
    assert window.open("/topics/1").text.count('<li class="post') == 3
    assert window.open("/topics/999").status == 404


def test_members_begin_topics_and_reply(forum: Forum) -> None:
    """Under the name of their account; paragraphs stay, markup does not."""
    ada, bob = member(forum), member(forum, "bob@example.org", "Bob")
    path = begin(ada, "Does it hum?", "My jar <b>hums</b>.\n\nAt night.")
    assert "My jar &lt;b&gt;hums&lt;/b&gt;.</p><p>At night.</p>" in ada.open(path).text
    said = bob.send(bob.open(path).form(path), body="All jars do.")
    assert "Your reply is there" in said.text
    assert "Bob</strong> (you)" in said.text
    assert "Ada Lovelace</strong> ·" in said.text
    assert bob.open("/").text.index("Does it hum?") < bob.open("/").text.index("kiln shed roof")


def test_what_is_sent_twice_is_said_once(forum: Forum) -> None:
    """An impatient hand presses the button again: the same key, the same post."""
    ada = member(forum)
    path = begin(ada, "Once", "Only once.")
    form = ada.open(path).form(path)
    for _ in range(3):
        page = ada.send(form, body="Said.")
    assert page.text.count("<p>Said.</p>") == 1
    new = ada.open("/new").form("/new")
    assert ada.send(new, title="Twice", body="x").path == ada.send(new, title="Twice", body="x").path


def test_only_members_write_and_only_from_our_own_pages(forum: Forum) -> None:
    """Whoever is not signed in is led to the door; a form without this browser's token is refused."""
    guest = Window(forum.url("web"))
    assert guest.open("/new").path.startswith("/sign-in?next=/new")
    assert "Sign in to reply" in guest.open("/topics/1").text
    assert not [form for form in guest.open("/topics/1").forms if form.method == "post"]
    ada = member(forum)
    form = ada.open("/topics/1").form("/topics/1")
    assert ada.send(form, form_token="guessed", body="x").status == 403
    assert ada.send(form, body=" ").status == 422
    assert ada.send(form, body="x" * 9000).status == 422


def test_reading_goes_on_while_accounts_is_away(forum: Forum) -> None:
    """Signing in and writing say that they have to wait, and keep what was written."""
    ada = member(forum)
    form = ada.open("/topics/1").form("/topics/1")
    forum.kill("accounts")
    assert ada.open("/topics/1").status == 200
    away = ada.send(form, body="Kept meanwhile")
    assert away.status == 503
    assert away.form("/topics/1").fields["body"] == "Kept meanwhile"
    forum.start("accounts")
    assert "Kept meanwhile" in ada.send(away.form("/topics/1")).text


def test_what_was_said_outlives_the_services(forum: Forum) -> None:
    """Killed and started again: the file is the truth, and nothing is seeded twice."""
    path = begin(member(forum), "Kept", "For good.")
    for name in ("topics", "web"):
        forum.kill(name)
        forum.start(name)
    window = Window(forum.url("web"))
    assert "For good." in window.open(path).text
    assert window.open("/").text.count("worst mug") == 1


def test_a_site_has_cookies_of_its_own(forum: Forum) -> None:
    """A browser sends the store's cookies to the forum, too: both are on one machine."""
    assert set(member(forum).cookies) <= {"forum_session", "forum_browser"}
