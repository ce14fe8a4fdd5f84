"""Topics: what is talked about, and what is replied.

    GET  /topics?q=WORDS        200 {"topics": [...]}  each word occurs in the title or in a post; newest talk first
    GET  /topics/ID             200 the topic with its posts
    POST /topics                {"title", "body"}      Idempotency-Key: KEY   201 the topic; 200 if it was there
    POST /topics/ID/replies     {"body"}               Idempotency-Key: KEY   201 the topic; 200 if it was there

Writing needs Authorization: Bearer TOKEN. A topic is {"id", "title", "author", "replies", "begun_at", "last_at",
"excerpt"}, a post {"author", "account", "posted_at", "body"}. The name of an author is as it was then.
"""

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

from service.database import Database
from service.peers import Peer
from service.server import Answer, App, Refused, Request, answer

SCHEMA = """
CREATE TABLE IF NOT EXISTS topics (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS posts (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    topic     INTEGER NOT NULL REFERENCES topics (id),
    account   TEXT NOT NULL,
    author    TEXT NOT NULL,
    body      TEXT NOT NULL,
    posted_at REAL NOT NULL,
    key       TEXT NOT NULL,
    UNIQUE (account, key)
);
CREATE INDEX IF NOT EXISTS posts_by_topic ON posts (topic, id);
"""
LONGEST_TITLE, LONGEST_BODY, EXCERPT = 120, 8000, 180
HOUSE = "house"
"""The account of the posts that the forum opens with; nobody can have it, since accounts chooses hex digits."""

database = Database("topics", SCHEMA)
accounts = Peer("accounts")
app = App("topics", health=database.check)


def seed() -> None:
    """On the very first start there is something to read; later the file is the truth, not this folder."""
    with database.transaction() as db:
        if db.execute("SELECT 1 FROM topics").fetchone():
            return
        now = time.time()
        for number, topic in enumerate(json.loads((Path(__file__).parent / "topics.json").read_bytes())):
            (topic_id,) = db.execute(
                "INSERT INTO topics (title) VALUES (?) RETURNING id", (topic["title"],)
            ).fetchone()
            for place, post in enumerate(topic["posts"]):
                then = now - post["hours_ago"] * 3600
                values = (topic_id, HOUSE, post["author"], post["body"], then, f"seed-{number}-{place}")
                db.execute(INSERT, values)


INSERT = "INSERT INTO posts (topic, account, author, body, posted_at, key) VALUES (?, ?, ?, ?, ?, ?)"


@app.route("GET", "/topics")
def topics(request: Request) -> Answer:
    words = [word.lower() for word in request.query.get("q", "").split()[:8]]
    with database.reading() as db:
        found = [_summary(db, row) for row in db.execute("SELECT * FROM topics")]
        said = {row["topic"]: row["text"] for row in db.execute(SAID)} if words else {}
    if words:
        # `in` and not LIKE, so that % and _ are just characters.
        found = [one for one in found if all(word in f"{one['title']} {said[one['id']]}".lower() for word in words)]
    return answer({"topics": sorted(found, key=lambda one: one["last_at"], reverse=True)[:100]})


SAID = "SELECT topic, group_concat(body, ' ') AS text FROM posts GROUP BY topic"


@app.route("GET", "/topics/{id}")
def topic(request: Request) -> Answer:
    with database.reading() as db:
        return answer(_whole(db, request.params["id"]))


@app.route("POST", "/topics")
def begin(request: Request) -> Answer:
    account, key = _account(request), _key(request)
    title, body = request.text("title", LONGEST_TITLE).strip(), request.text("body", LONGEST_BODY).strip()
    with database.transaction() as db:
        if there := _with_key(db, account, key):
            return answer(_whole(db, there))
        (number,) = db.execute("INSERT INTO topics (title) VALUES (?) RETURNING id", (title,)).fetchone()
        db.execute(INSERT, (number, account["id"], account["name"], body, time.time(), key))
        return answer(_whole(db, number), 201)


@app.route("POST", "/topics/{id}/replies")
def reply(request: Request) -> Answer:
    account, key, body = _account(request), _key(request), request.text("body", LONGEST_BODY).strip()
    with database.transaction() as db:
        if there := _with_key(db, account, key):
            return answer(_whole(db, there))
        number = _whole(db, request.params["id"])["id"]
        db.execute(INSERT, (number, account["id"], account["name"], body, time.time(), key))
        return answer(_whole(db, number), 201)


def _account(request: Request) -> dict[str, Any]:
    """Who writes, as accounts says. A session that has ended is refused there, and so here."""
    account: dict[str, Any] = accounts.call("GET", "/sessions/current", token=request.bearer())["account"]
    return account


def _key(request: Request) -> str:
    key = request.headers.get("idempotency-key", "")
    if not 8 <= len(key) <= 100:
        raise Refused(422, "an Idempotency-Key of 8 to 100 characters is needed")
    return key


def _with_key(db: sqlite3.Connection, account: dict[str, Any], key: str) -> int | None:
    """The topic of the post that this account has made with this key already."""
    row = db.execute("SELECT topic FROM posts WHERE account = ? AND key = ?", (account["id"], key)).fetchone()
    return row["topic"] if row else None


def _whole(db: sqlite3.Connection, number: int | str) -> dict[str, Any]:
    row = db.execute("SELECT * FROM topics WHERE CAST(id AS TEXT) = ?", (str(number),)).fetchone()
    if row is None:
        raise Refused(404, "there is no such topic")
    posts = db.execute("SELECT author, account, posted_at, body FROM posts WHERE topic = ? ORDER BY id", (row["id"],))
    return _summary(db, row) | {"posts": [dict(post) for post in posts]}


def _summary(db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
    first = db.execute("SELECT * FROM posts WHERE topic = ? ORDER BY id LIMIT 1", (row["id"],)).fetchone()
    count, last_at = db.execute("SELECT count(*), max(posted_at) FROM posts WHERE topic = ?", (row["id"],)).fetchone()
    body = " ".join(first["body"].split())
    return {
        "id": row["id"],
        "title": row["title"],
        "author": first["author"],
        "replies": count - 1,
        "begun_at": first["posted_at"],
        "last_at": last_at,
        "excerpt": body if len(body) <= EXCERPT else body[:EXCERPT].rsplit(" ", 1)[0] + " …",
    }


if __name__ == "__main__":
    seed()
    app.serve()
