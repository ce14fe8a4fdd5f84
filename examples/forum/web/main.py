"""Web: the front of the forum. Asks the other services, and makes pages of what they say.

It keeps nothing: who is signed in, is a cookie with the session's token. No script is needed anywhere.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import quote, urlencode

import pages
from layout import page
from service.peers import Away, Peer
from service.server import Answer, App, Refused, Request
from service.site import door, fields_of, see_other
from visitor import site, visitor_of

topics = Peer("topics")


def explain(request: Request, error: Exception) -> Answer:
    """Every error is a page that says what to do now."""
    if isinstance(error, Refused) and error.status == 401:
        return see_other(f"/sign-in?next={quote(request.path)}")
    visitor = visitor_of(request)
    if isinstance(error, Away):
        fields = fields_of(request)
        secret = "password" in fields  # not to be sent back and forth: that form is filled in once more
        body = pages.away(error.peer, request.path, {} if secret else fields)
        return page(visitor, "Back in a moment", body, status=503, headers=[("Retry-After", "1")])
    if isinstance(error, Refused):
        return page(visitor, "That did not work", pages.sorry(error.why), status=error.status)
    return page(visitor, "That did not work", pages.sorry("something broke on our side"), status=500)


app = App("web", explain=explain)


@app.route("GET", "/")
def talk(request: Request) -> Answer:
    q, visitor = request.query.get("q", "").strip(), visitor_of(request)
    found = topics.call("GET", f"/topics?{urlencode({'q': q})}")["topics"]
    return page(visitor, q or "What is talked about", pages.talk(found, visitor, q), q=q)


@app.route("GET", "/topics/{id}")
def topic(request: Request) -> Answer:
    return _topic_page(request, said="said" in request.query)


@app.route("POST", "/topics/{id}")
def reply(request: Request) -> Answer:
    fields, number = site.form_of(request), quote(request.params["id"], safe="")
    said = {"body": fields.get("body", "")}
    try:
        topics.call("POST", f"/topics/{number}/replies", said, token=_signed_in(request), key=fields.get("key", ""))
    except Refused as error:
        if error.status != 422:
            raise
        return _topic_page(request, body=said["body"], problem=f"Not said: {error.why}.")
    return see_other(f"/topics/{number}?said=1")


@app.route("GET", "/new")
def new_page(request: Request) -> Answer:
    _signed_in(request)
    visitor = visitor_of(request)
    return page(visitor, "New topic", pages.new(visitor, _key()))


@app.route("POST", "/new")
def begin(request: Request) -> Answer:
    fields = site.form_of(request)
    said = {name: fields.get(name, "") for name in ("title", "body")}
    try:
        begun = topics.call("POST", "/topics", said, token=_signed_in(request), key=fields.get("key", ""))
    except Refused as error:
        if error.status != 422:
            raise
        visitor = visitor_of(request)
        body = pages.new(visitor, _key(), said["title"], said["body"], f"Not begun: {error.why}.")
        return page(visitor, "New topic", body, status=422)
    return see_other(f"/topics/{begun['id']}")


def sign_in(request: Request, fields: dict[str, str], back_to: str, problem: str, status: int) -> Answer:
    visitor = visitor_of(request)
    return page(visitor, "Sign in", pages.sign_in(visitor, back_to, fields.get("email", ""), problem), status=status)


def sign_up(request: Request, fields: dict[str, str], back_to: str, problem: str, status: int) -> Answer:
    visitor, name, email = visitor_of(request), fields.get("name", ""), fields.get("email", "")
    return page(visitor, "Sign up", pages.sign_up(visitor, back_to, name, email, problem), status=status)


door(app, site, sign_in, sign_up)


@app.route("GET", "/style.css")
def style(_request: Request) -> Answer:
    return _file("style.css", "text/css; charset=utf-8")


@app.route("GET", "/icon.svg")
def icon(_request: Request) -> Answer:
    return _file("icon.svg", "image/svg+xml")


def _topic_page(request: Request, said: bool = False, body: str = "", problem: str = "") -> Answer:
    found, visitor = topics.call("GET", f"/topics/{quote(request.params['id'], safe='')}"), visitor_of(request)
    content = pages.topic(found, visitor, _key(), said, body, problem)
    return page(visitor, found["title"], content, status=422 if problem else 200)


def _signed_in(request: Request) -> str:
    session = site.session_of(request)
    if not session:
        raise Refused(401, "sign in first")
    return session


def _key() -> str:
    """A reply that is sent twice, by an impatient hand or by us, is said once."""
    return secrets.token_urlsafe(16)


def _file(name: str, kind: str) -> Answer:
    content = (Path(__file__).parent / name).read_bytes()
    return Answer(200, content, (("Content-Type", kind), ("Cache-Control", "max-age=60")))


if __name__ == "__main__":
    app.serve()
