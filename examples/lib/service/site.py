"""One web site's visitors: its cookies, the forms that only its own pages can send, and the session behind them.

Note [How forms are protected]
A form carries a hash of a cookie that scripts cannot read and other sites cannot see (HttpOnly, SameSite=Lax), so
only a page that we made for this browser can send it. Nothing has to be remembered for that: a form that was
opened before this service was started again still works.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

from service.peers import Away, Peer
from service.server import Answer, App, Refused, Request

SESSION_SECONDS = 7 * 24 * 3600
BROWSER_SECONDS = 365 * 24 * 3600

accounts = Peer("accounts")


class Browser(NamedTuple):
    """What a request's cookies say."""

    session: str  # the token of the session, "" if there is none
    form_token: str  # what every form for this browser must carry
    new_cookie: str  # to be set by the answer, "" for none


class Site:
    """Browsers send a machine's cookies to all of its ports, so each site here needs names of its own for them."""

    def __init__(self, name: str, prefix: str = "") -> None:
        self._name = name
        self.session_cookie = f"{prefix}session"
        self.browser_cookie = f"{prefix}browser"

    def browser_of(self, request: Request) -> Browser:
        cookies = _cookies(request)
        session, browser = cookies.get(self.session_cookie, ""), cookies.get(self.browser_cookie, "")
        new_cookie = "" if session or browser else secrets.token_urlsafe(18)
        return Browser(session, form_token(session or browser or new_cookie), new_cookie)

    def session_of(self, request: Request) -> str:
        return _cookies(request).get(self.session_cookie, "")

    def form_of(self, request: Request) -> dict[str, str]:
        """The fields of a form, if one of our own pages sent it. See Note [How forms are protected]."""
        fields = fields_of(request)
        cookies = _cookies(request)
        cookie = cookies.get(self.session_cookie) or cookies.get(self.browser_cookie) or ""
        if not cookie or not hmac.compare_digest(form_token(cookie).encode(), fields.get("form_token", "").encode()):
            raise Refused(
                403, f"this form did not come from a page of this {self._name}; go back, reload it, and send it again"
            )
        return fields

    def remember(self, new_cookie: str) -> list[tuple[str, str]]:
        """The headers that give a browser its cookie."""
        return [_cookie(self.browser_cookie, new_cookie, BROWSER_SECONDS)] if new_cookie else []

    def open_session(self, token: str) -> tuple[str, str]:
        return _cookie(self.session_cookie, token, SESSION_SECONDS)

    def close_session(self) -> tuple[str, str]:
        return _cookie(self.session_cookie, "", 0)


class Sheet(Protocol):
    """The page with a form to sign in, or to sign up."""

    def __call__(
        self, request: Request, fields: dict[str, str], back_to: str, problem: str, status: int
    ) -> Answer: ...


def door(app: App, site: Site, sign_in: Sheet, sign_up: Sheet) -> None:
    """Adds the ways in and out to a web front: /sign-in, /sign-up and /sign-out."""

    def sheet(show: Sheet) -> Callable[[Request], Answer]:
        return lambda request: show(request, {}, safe(request.query.get("next", "/")), "", 200)

    def enter(show: Sheet, new: bool) -> Callable[[Request], Answer]:
        def act(request: Request) -> Answer:
            fields = site.form_of(request)
            try:
                if new:
                    accounts.call("POST", "/accounts", _only(fields, "name", "email", "password"))
                session = accounts.call("POST", "/sessions", _only(fields, "email", "password"))
            except Away:
                raise
            except Refused as error:
                return show(request, fields, safe(fields.get("next", "/")), f"{error.why}.", error.status)
            return see_other(safe(fields.get("next", "/")), site.open_session(session["token"]))

        return act

    def leave(request: Request) -> Answer:
        site.form_of(request)
        if session := site.session_of(request):
            accounts.call("DELETE", "/sessions/current", token=session)
        return see_other("/", site.close_session())

    for path, show in (("/sign-in", sign_in), ("/sign-up", sign_up)):
        app.route("GET", path)(sheet(show))
        app.route("POST", path)(enter(show, new=path == "/sign-up"))
    app.route("POST", "/sign-out")(leave)


def account_of(session: str, patience: float = 2.0) -> dict[str, Any]:
    """The account that a session belongs to; Refused with 401 when it has ended or there is none."""
    if not session:
        raise Refused(401, "sign in first")
    account: dict[str, Any] = accounts.call("GET", "/sessions/current", token=session, patience=patience)["account"]
    return account


def see_other(url: str, *headers: tuple[str, str]) -> Answer:
    """To a page that may be reloaded, after a form."""
    return Answer(303, b"", (("Location", url), *headers))


def safe(url: str) -> str:
    """A path of this site; never a way out of it to a page that looks like ours."""
    return url if url.startswith("/") and not url.startswith(("//", "/\\")) and url.isprintable() else "/"


def fields_of(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))


def form_token(cookie: str) -> str:
    return hashlib.sha256(b"form of " + cookie.encode()).hexdigest()


def _only(fields: dict[str, str], *names: str) -> dict[str, str]:
    return {name: fields.get(name, "") for name in names}


def _cookies(request: Request) -> dict[str, str]:
    pairs = (pair.strip().partition("=") for pair in request.headers.get("cookie", "").split(";"))
    return {name: value for name, _, value in pairs}


def _cookie(name: str, value: str, seconds: int) -> tuple[str, str]:
    """A header that sets a cookie. Not Secure, since the sites are served on plain http://127.0.0.1."""
    return ("Set-Cookie", f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax")
