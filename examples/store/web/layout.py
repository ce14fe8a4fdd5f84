"""What all pages have around them, and the small pieces that many of them use."""

from __future__ import annotations

from collections.abc import Iterable

from service.markup import Html, html
from service.server import Answer
from visitor import Visitor, site

NAME = "Kiln & Table"

# Nothing is loaded from anywhere else, and no script runs, whatever finds its way into a page.
POLICY = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; " + (
    "frame-ancestors 'none'"
)

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · {store}</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" href="/icon.svg" type="image/svg+xml">
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header class="head">
<a class="brand" href="/"><svg viewBox="0 0 32 32" aria-hidden="true"><path d="M9 7h14c0 4-3 4-3 8 5 3 6 12-1 13h-6
c-7-1-6-10-1-13 0-4-3-4-3-8z"/></svg>{store}</a>
<form class="search" action="/" role="search">
<label class="unseen" for="q">Search the store</label>
<input id="q" name="q" type="search" placeholder="Search cups, bowls, celadon …" value="{q}">
<button class="quiet">Search</button>
</form>
<nav aria-label="Account">{links}</nav>
</header>
<main id="main">
{body}
</main>
<footer>
<p>{store} is the example store of orchestra: small services, thrown by hand.</p>
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
    text = html(PAGE, title=title, store=NAME, q=q, links=_links(visitor), body=body)
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
        '<a href="/cart">Cart{count}</a><a href="/orders">Orders</a>'
        '<form method="post" action="/sign-out">{token}<button class="quiet">Sign out{name}</button></form>',
        count=html(' <span class="count">{n}</span>', n=visitor.in_cart) if visitor.in_cart else "",
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


def money(cents: int) -> str:
    return f"€{cents // 100:,}.{cents % 100:02d}"
