"""The pages of the forum, each a function from what is to be shown to HTML. No page asks another service."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from layout import NAME, ago, counted, face, hidden, note
from service.markup import Html, html
from visitor import Visitor

Topic = dict[str, Any]
Post = dict[str, Any]

AWAY = {
    "accounts": ("The key is with somebody else", "Signing in and writing have to wait a moment. Reading does not."),
    "topics": ("Everybody is at the kiln", "The talk goes on in a moment; nothing that was said is lost."),
}


def talk(topics: Sequence[Topic], visitor: Visitor, q: str) -> Html:
    return html(
        '{head}<ol class="topics">{rows}</ol>',
        head=_found(len(topics), q) if q else _welcome(visitor),
        rows=[_row(topic) for topic in topics],
    )


def _welcome(visitor: Visitor) -> Html:
    return html(
        '<section class="welcome"><h1>What is on the shelf today?</h1>'
        "<p>Questions about clay, glazes and kilns, and about mugs that should not exist.</p>{act}</section>",
        act=""
        if visitor.session
        else html('<p>An account of the store opens this door, too. <a href="/sign-in">Sign in</a></p>'),
    )


def _found(count: int, q: str) -> Html:
    if not count:
        return html(
            '<h1>Nobody has said “{q}”</h1><p>Try a shorter word, or <a href="/">read everything</a>.</p>', q=q
        )
    return html("<h1>“{q}” <small>{count}</small></h1>", q=q, count=counted(count, "topic"))


def _row(topic: Topic) -> Html:
    return html(
        '<li>{face}<div><h2><a href="/topics/{id}">{title}</a></h2><p class="excerpt">{excerpt}</p>'
        '<p class="crumb">{author} · {ago}</p></div><p class="replies"><strong>{replies}</strong> {word}</p></li>',
        face=face(topic["author"]), id=topic["id"], title=topic["title"], excerpt=topic["excerpt"],
        author=topic["author"], ago=ago(topic["last_at"]), replies=topic["replies"],
        word="reply" if topic["replies"] == 1 else "replies",
    )  # fmt: skip


def topic(found: Topic, visitor: Visitor, key: str, said: bool, body: str = "", problem: str = "") -> Html:
    """`key` makes a reply that is sent twice the same one."""
    first, *replies = found["posts"]
    return html(
        '{note}<p class="crumb"><a href="/">All topics</a></p><h1>{title}</h1>{first}'
        '<h2 class="after">{count}</h2><ol class="posts">{replies}</ol>{write}',
        note=note("Your reply is there.") if said else note(problem, "bad") if problem else "",
        title=found["title"], first=_post(first, visitor, "article", "first"),
        count=counted(len(replies), "reply", "replies") if replies else "Nobody has replied yet",
        replies=[_post(post, visitor, "li", "") for post in replies],
        write=_write(found, visitor, key, body),
    )  # fmt: skip


def _post(post: Post, visitor: Visitor, tag: str, kind: str) -> Html:
    assert tag in ("article", "li")
    return html(
        '<{tag} class="post {kind}">{face}<div><p class="crumb"><strong>{author}</strong>{you} · {ago}</p>'
        "{paragraphs}</div></{tag}>",
        tag=Html(tag), kind=kind, face=face(post["author"]), author=post["author"], ago=ago(post["posted_at"]),
        you=" (you)" if visitor.account and post["account"] == visitor.account else "",
        paragraphs=paragraphs(post["body"]),
    )  # fmt: skip


def paragraphs(text: str) -> Html:
    """An empty line begins another paragraph, a single line break stays one."""
    lines = [part.splitlines() for part in re.split(r"\n\s*\n", text.replace("\r\n", "\n").strip())]
    return html(
        "{parts}",
        parts=[
            html("<p>{lines}</p>", lines=[html("{br}{line}", br=Html("<br>") if at else "", line=line)
                                          for at, line in enumerate(part)])
            for part in lines
        ],
    )  # fmt: skip


def _write(found: Topic, visitor: Visitor, key: str, body: str) -> Html:
    if not visitor.session:
        return html('<p><a class="button" href="/sign-in?next=/topics/{id}">Sign in to reply</a></p>', id=found["id"])
    return html(
        '<form class="write" method="post" action="/topics/{id}">{fields}<label for="body">Your reply</label>'
        '<textarea id="body" name="body" rows="5" maxlength="8000" required>{body}</textarea>'
        "<button>Reply</button></form>",
        id=found["id"], fields=hidden(form_token=visitor.form_token, key=key), body=body,
    )  # fmt: skip


def new(visitor: Visitor, key: str, title: str = "", body: str = "", problem: str = "") -> Html:
    return html(
        '{problem}<h1>New topic</h1><form class="write" method="post" action="/new">{fields}'
        '<label for="title">Title</label><input id="title" name="title" maxlength="120" value="{title}" required>'
        '<label for="body">What is it about?</label>'
        '<textarea id="body" name="body" rows="9" maxlength="8000" required>{body}</textarea>'
        "<button>Begin the topic</button></form>",
        problem=note(problem, "bad") if problem else "",
        fields=hidden(form_token=visitor.form_token, key=key), title=title, body=body,
    )  # fmt: skip


def sign_in(visitor: Visitor, back_to: str, email: str = "", problem: str = "") -> Html:
    return html(
        '<section class="sheet">{problem}<h1>Sign in</h1><p class="hint">With your account of the store, if you have '
        'one.</p><form method="post" action="/sign-in">{fields}{inputs}<button>Sign in</button></form>'
        '<p>New here? <a href="/sign-up?next={next}">Sign up</a></p></section>',
        problem=note(problem, "bad") if problem else "",
        fields=hidden(form_token=visitor.form_token, next=back_to),
        inputs=[_input("email", "Email", "email", "username", email),
                _input("password", "Password", "password", "current-password")],
        next=quote(back_to),
    )  # fmt: skip


def sign_up(visitor: Visitor, back_to: str, name: str = "", email: str = "", problem: str = "") -> Html:
    return html(
        '<section class="sheet">{problem}<h1>Sign up</h1><form method="post" action="/sign-up">{fields}{inputs}'
        "<p class=\"hint\" id=\"hint\">At least 8 characters.</p><button>Sign up</button></form>"
        '<p>Have an account? <a href="/sign-in?next={next}">Sign in</a></p></section>',
        problem=note(problem, "bad") if problem else "",
        fields=hidden(form_token=visitor.form_token, next=back_to),
        inputs=[_input("name", "Your name", "text", "name", name),
                _input("email", "Email", "email", "username", email),
                _input("password", "Password", "password", "new-password")],
        next=quote(back_to),
    )  # fmt: skip


def _input(name: str, label: str, kind: str, complete: str, value: str = "") -> Html:
    return html(
        '<label for="{name}">{label}</label><input id="{name}" name="{name}" type="{kind}" autocomplete="{complete}"'
        ' value="{value}" required{more}>',
        name=name, label=label, kind=kind, complete=complete, value=value,
        more=html(' minlength="8" aria-describedby="hint"') if complete == "new-password" else "",
    )  # fmt: skip


def away(peer: str, path: str, fields: dict[str, str]) -> Html:
    """A service does not answer. `fields` is the form that waits to be sent again, or nothing."""
    title, text = AWAY.get(peer, ("We are resting", "Try again in a moment."))
    again = (
        html('<form method="post" action="{path}">{fields}<button>Try again</button></form>',
             path=path, fields=hidden(**fields))
        if fields
        else html('<p><a class="button" href="{path}">Try again</a></p>', path=path)
    )  # fmt: skip
    return html(
        '<section class="sheet away"><h1>{title}</h1><p role="alert">{text}</p>{again}'
        '<p><a href="/">Back to {name}</a></p></section>',
        title=title, text=text, again=again, name=NAME,
    )  # fmt: skip


def sorry(why: str) -> Html:
    return html(
        '<section class="sheet"><h1>That did not work</h1><p role="alert">{why}.</p>'
        '<p><a class="button" href="/">Back to {name}</a></p></section>',
        why=why[:1].upper() + why[1:],
        name=NAME,
    )
