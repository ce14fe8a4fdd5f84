"""Who sent a request: cookies, the session behind them, and the token that each form must carry.

Note [How forms are protected]
A form carries a hash of a cookie that scripts cannot read and other sites cannot see (HttpOnly, SameSite=Lax), so
only a page that we made for this browser can send it. Nothing has to be remembered for that: a form that was
opened before this service was started again still works.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from service.peers import Away, Peer
from service.server import Refused, Request

accounts, cart = Peer("accounts"), Peer("cart")

HURRY = 0.3  # seconds of patience for what a page can do without


class Visitor(NamedTuple):
    session: str  # the token of the session, "" if there is none
    name: str  # "" if not signed in, or if accounts is away just now
    in_cart: int | None  # None if that cannot be said just now
    form_token: str
    new_cookie: str  # to be set by the answer, "" for none


def visitor_of(request: Request) -> Visitor:
    """What the head of a page shows. A service that is away costs a name or a number there, not the page."""
    cookies = _cookies(request)
    session, browser = cookies.get("session", ""), cookies.get("browser", "")
    new_cookie = "" if session or browser else secrets.token_urlsafe(18)
    visitor = Visitor(session, "", None, form_token(session or browser or new_cookie), new_cookie)
    try:
        account = account_of(session, HURRY)
        visitor = visitor._replace(name=account["name"])
        lines = cart.call("GET", f"/carts/{account['id']}", patience=HURRY)["lines"]
    except Away:
        return visitor
    except Refused:
        return visitor._replace(session="")
    return visitor._replace(in_cart=sum(line["quantity"] for line in lines))


def session_of(request: Request) -> str:
    return _cookies(request).get("session", "")


def account_of(session: str, patience: float = 2.0) -> dict[str, Any]:
    """The account that a session belongs to; Refused with 401 when it has ended or there is none."""
    if not session:
        raise Refused(401, "sign in first")
    account: dict[str, Any] = accounts.call("GET", "/sessions/current", token=session, patience=patience)["account"]
    return account


def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, if one of our own pages sent it. See Note [How forms are protected]."""
    fields = fields_of(request)
    cookies = _cookies(request)
    cookie = cookies.get("session") or cookies.get("browser") or ""
    if not cookie or not hmac.compare_digest(form_token(cookie).encode(), fields.get("form_token", "").encode()):
        raise Refused(403, "this form did not come from a page of this store; go back, reload it, and send it again")
    return fields


def fields_of(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))


def form_token(cookie: str) -> str:
    return hashlib.sha256(b"form of " + cookie.encode()).hexdigest()


def _cookies(request: Request) -> dict[str, str]:
    pairs = (pair.strip().partition("=") for pair in request.headers.get("cookie", "").split(";"))
    return {name: value for name, _, value in pairs}


def cookie(name: str, value: str, seconds: int) -> tuple[str, str]:
    """A header that sets a cookie. Not Secure, since the store is served on plain http://127.0.0.1."""
    return ("Set-Cookie", f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax")
