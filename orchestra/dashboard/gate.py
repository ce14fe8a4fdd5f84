"""Who may ask for what: judged from the head of a request alone, before anything else looks at it.

A page has to have two things: a cookie, which the browser keeps from scripts and from other sites, and a key, which
only pages of this very origin can read. One alone is not enough: cookies go to every port of a host, so another
service on this machine may see them, and a page of such a service counts as the same site.

What comes from elsewhere is refused by its own words: a foreign Host (DNS rebinding, where a name of somebody else
leads to this address), a foreign Origin, Sec-Fetch-Site (W3C Fetch Metadata).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

COOKIE = "orchestra"
KEY_HEADER = "x-orchestra-key"
SAFE = ("GET", "HEAD")
LARGEST_BODY = 64 * 1024
MOST_SESSIONS = 64
SECRET_BYTES = 16
OPEN_TO_ALL = ("/enter", "/healthz")
FOR_MONITORS = ("/metrics",)


@dataclass(frozen=True, slots=True)
class Refusal:
    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The head of a request."""

    kind: str  # "http" or "websocket"
    method: str
    path: str
    query: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Session:
    name: str  # what the cookie holds, hashed
    key: str


class Gate:
    """Tokens, sessions and the rules. `hosts`: what this server may be called; "*": any address (never any name)."""

    def __init__(self, port: int, hosts: Collection[str], names: Collection[str] = (), monitor: str = "") -> None:
        """`names` are good with any port: those of a proxy in front."""
        self._names = frozenset(name.lower() for name in names)
        self._port = port
        self._hosts = frozenset(host.lower() for host in hosts)
        self._monitor = monitor
        self._token = ""
        self._sessions: dict[str, Session] = {}

    # Coming in

    def new_token(self) -> str:
        """What the link holds. Good once; the one before it is good for nothing any more."""
        self._token = secrets.token_urlsafe(SECRET_BYTES)
        return self._token

    def awaits(self, token: str) -> bool:
        """Whether this one is still good."""
        return self._token == token

    def enter(self, token: str) -> tuple[str, Session] | None:
        """Exchange a token for a cookie and a session; None for a wrong one and for one that was used."""
        expected = self._token or secrets.token_urlsafe(SECRET_BYTES)
        if not hmac.compare_digest(token.encode(), expected.encode()):
            return None
        self._token = ""
        cookie = secrets.token_urlsafe(SECRET_BYTES)
        session = Session(_hashed(cookie), secrets.token_urlsafe(SECRET_BYTES))
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[session.name] = session
        return cookie, session

    def leave(self, session: Session) -> None:
        self._sessions.pop(session.name, None)

    # At each request

    def judge(self, asked: Asked) -> Refusal | Session | None:
        """The session of the request, None where it needs none, or why it gets nothing."""
        if not self._is_ours(asked.headers.get("host", "")):
            return Refusal(403, "this is not the address of this dashboard")
        if foreign := self._foreign(asked):
            return foreign
        if asked.path in OPEN_TO_ALL and asked.kind == "http":
            return None
        if asked.path in FOR_MONITORS and self._is_monitor(asked):
            return None
        session = self._session(asked.headers.get("cookie", ""))
        if session is None:
            return Refusal(401, "open the link that `orchestra dashboard` prints; each link is good once")
        guarded = asked.path.startswith("/api/") or asked.method not in SAFE
        if guarded and not hmac.compare_digest(_key(asked).encode(), session.key.encode()):
            return Refusal(403, "this page does not belong to the session: open a new link")
        return session

    def knows(self, cookies: str) -> bool:
        """Whether it is a browser that has been let in before."""
        return self._session(cookies) is not None

    def is_monitor(self, headers: Mapping[str, str]) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        expected = self._monitor or secrets.token_urlsafe(SECRET_BYTES)
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), expected.encode())

    def _is_monitor(self, asked: Asked) -> bool:
        return asked.method in SAFE and self.is_monitor(asked.headers)

    def _is_ours(self, host: str) -> bool:
        name, port = _split(host.lower())
        if name in self._names:
            return True
        if (port or "80") != str(self._port):
            return False
        return name in self._hosts or ("*" in self._hosts and _is_address(name))

    def _foreign(self, asked: Asked) -> Refusal | None:
        origin = asked.headers.get("origin")
        host = asked.headers.get("host", "").lower()
        if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
            return Refusal(403, "asked for by a page of another origin")
        if asked.kind == "websocket" and origin is None:
            return Refusal(403, "a terminal is for pages only")
        site = asked.headers.get("sec-fetch-site", "none")
        visit = (
            asked.headers.get("sec-fetch-mode") == "navigate" and asked.headers.get("sec-fetch-dest") == "document"
        )
        if site not in ("same-origin", "none") and not (visit and asked.method == "GET"):
            return Refusal(403, "asked for by a page of another site")
        return None

    def _session(self, cookies: str) -> Session | None:
        for pair in cookies.split(";"):
            name, _, value = pair.strip().partition("=")
            # Looked up by its hash: how long that takes tells nothing about the cookie.
            if name == self.cookie_name and (session := self._sessions.get(_hashed(value))):
                return session
        return None

    @property
    def cookie_name(self) -> str:
        """With the port in it: two dashboards on one host would take each other's cookie away."""
        return f"{COOKIE}-{self._port}"


def _hashed(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _key(asked: Asked) -> str:
    """From the header, or, where a browser lets a page set none (event streams, downloads, sockets), the query."""
    return asked.headers.get(KEY_HEADER) or (parse_qs(asked.query).get("key") or [""])[0]


def _split(host: str) -> tuple[str, str]:
    """`[::1]:80` to `::1` and `80`."""
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        return name, rest.removeprefix(":")
    name, _, port = host.partition(":")
    return name, port


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
