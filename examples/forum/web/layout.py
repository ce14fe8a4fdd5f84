"""What all pages have around them, and the small pieces that many of them use."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable

from service.markup import Html, html
from service.server import Answer
from visitor import Visitor, site

NAME = "The Drying Shed"
HUES = 8  # how many colours style.css has for people

# Nothing is loaded from anywhere else, and no script runs, whatever finds its way into a page.
POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; " + (
    "frame-ancestors 'none'"
)

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · {forum}</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" href="/icon.svg" type="image/svg+xml">
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header class="head">
<a class="brand" href="/"><svg viewBox="0 0 32 32" aria-hidden="true"><path d="M3 13 16 4l13 9v2H3zM5 17h22v2H5zm0 8
h22v2H5zM8 19h5l-1 5H9zM18 19h6l-1 5h-4z"/></svg>{forum}</a>
<form class="search" action="/" role="search">
<label class="unseen" for="q">Search the forum</label>
<input id="q" name="q" type="search" placeholder="Search what was said …" value="{q}">
<button class="quiet">Search</button>
</form>
<nav aria-label="Account">{links}</nav>
</header>
<main id="main">
{body}
</main>
<footer>
<p>{forum} is the example forum of orchestra. Its members are the customers of the store: one accounts service for
both.</p>
</footer>
</body>
</html>
"""


def page(
    visitor: Visitor,
    title: str,
    body: Html,
    q: str = "",
    status: int = 200,
    headers: Iterable[tuple[str, str]] = (),
) -> Answer:
    text = html(PAGE, title=title, forum=NAME, q=q, links=_links(visitor), body=body)
    return Answer(
        status,
        text.encode(),
        (
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", POLICY),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
            *site.remember(visitor.new_cookie),
            *headers,
        ),
    )


def _links(visitor: Visitor) -> Html:
    if not visitor.session:
        return html('<a href="/sign-in">Sign in</a><a class="button" href="/sign-up">Sign up</a>')
    return html(
        '<a class="button" href="/new">New topic</a>'
        '<form method="post" action="/sign-out">{token}<button class="quiet">Sign out{name}</button></form>',
        token=hidden(form_token=visitor.form_token),
        name=html('<span class="name">{name}</span>', name=visitor.name) if visitor.name else "",
    )


def hidden(**fields: object) -> Html:
    one = '<input type="hidden" name="{name}" value="{value}">'
    return html("{fields}", fields=[html(one, name=name, value=value) for name, value in fields.items()])


def note(text: str, kind: str = "good") -> Html:
    """A line above the content that a screen reader says at once."""
    return html('<p class="note {kind}" role="{role}">{text}</p>', kind=kind, text=text,
                role="status" if kind == "good" else "alert")  # fmt: skip


def face(name: str) -> Html:
    """Initials in a colour that stays the same for a person."""
    initials = "".join(word[:1] for word in name.split()[:2]).upper() or "?"
    hue = zlib.crc32(name.encode()) % HUES
    return html('<span class="face hue-{hue}" aria-hidden="true">{initials}</span>', hue=hue, initials=initials)


def ago(moment: float) -> Html:
    """How long ago, with the exact time for whoever wants to know it."""
    seconds = max(0, time.time() - moment)
    words = "just now"
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            words = f"{counted(int(seconds // size), unit)} ago"
            break
    exact = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
    return html('<time datetime="{exact}" title="{exact}">{words}</time>', exact=exact, words=words)


def counted(count: int, noun: str, many: str = "") -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {many or noun + 's'}"
