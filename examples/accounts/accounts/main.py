"""Accounts: sign up, sign in, sign out, and whose session a token is.

It knows nothing of what it is used for, so any number of applications can share it.

    POST   /accounts           {"email", "name", "password"}     201 {"id", "email", "name"}
    POST   /sessions           {"email", "password"}             201 {"token", "expires_at", "account"}
    GET    /sessions/current   Authorization: Bearer TOKEN       200 {"account", "expires_at"}
    DELETE /sessions/current   Authorization: Bearer TOKEN       200 {}
"""

import hashlib
import os
import secrets
import sqlite3
import time
from typing import Any

import passwords
from service.database import Database
from service.server import Answer, App, Refused, Request, answer

SESSION_SECONDS = float(os.environ.get("SESSION_SECONDS", 7 * 24 * 3600))

SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
    id       TEXT PRIMARY KEY,
    email    TEXT NOT NULL UNIQUE COLLATE NOCASE,
    name     TEXT NOT NULL,
    password TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS sessions (
    token_hash TEXT PRIMARY KEY,
    account    TEXT NOT NULL REFERENCES accounts (id),
    expires_at REAL NOT NULL
);
"""

database = Database("accounts", SCHEMA)
app = App("accounts", health=database.check)


@app.route("POST", "/accounts")
def sign_up(request: Request) -> Answer:
    email, name = _email(request), request.text("name", 80).strip()
    password = request.text("password")
    if len(password) < passwords.SHORTEST:
        raise Refused(422, f"the password must have at least {passwords.SHORTEST} characters")
    hashed = passwords.scramble(password)
    try:
        with database.transaction() as db:
            row = db.execute(
                "INSERT INTO accounts VALUES (?, ?, ?, ?) RETURNING *", (secrets.token_hex(8), email, name, hashed)
            ).fetchone()
    except sqlite3.IntegrityError:
        raise Refused(409, "there is an account with this email already") from None
    return answer(_account(row), 201)


@app.route("POST", "/sessions")
def sign_in(request: Request) -> Answer:
    email, password = _email(request), request.text("password")
    with database.reading() as db:
        row = db.execute("SELECT * FROM accounts WHERE email = ?", (email,)).fetchone()
    # An unknown email costs as much time as a wrong password, so the clock does not tell who has an account.
    if not passwords.matches(password, row["password"] if row else passwords.NOBODYS):
        raise Refused(401, "email and password do not match")
    token, now = secrets.token_urlsafe(32), time.time()
    with database.transaction() as db:
        db.execute("DELETE FROM sessions WHERE expires_at <= ?", (now,))
        db.execute("INSERT INTO sessions VALUES (?, ?, ?)", (_hash(token), row["id"], now + SESSION_SECONDS))
    return answer({"token": token, "expires_at": now + SESSION_SECONDS, "account": _account(row)}, 201)


@app.route("GET", "/sessions/current")
def current(request: Request) -> Answer:
    with database.reading() as db:
        row = db.execute(
            "SELECT accounts.*, expires_at FROM sessions JOIN accounts ON accounts.id = account"
            " WHERE token_hash = ? AND expires_at > ?",
            (_hash(request.bearer()), time.time()),
        ).fetchone()
    if row is None:
        raise Refused(401, "this session has ended; sign in again")
    return answer({"account": _account(row), "expires_at": row["expires_at"]})


@app.route("DELETE", "/sessions/current")
def sign_out(request: Request) -> Answer:
    with database.transaction() as db:
        db.execute("DELETE FROM sessions WHERE token_hash = ?", (_hash(request.bearer()),))
    return answer({})


def _account(row: sqlite3.Row) -> dict[str, Any]:
    return {name: row[name] for name in ("id", "email", "name")}


def _email(request: Request) -> str:
    email = request.text("email").strip()
    name, _, domain = email.partition("@")
    if not name or not domain or any(c.isspace() for c in email):
        raise Refused(422, "this does not look like an email address")
    return email


def _hash(token: str) -> str:
    """Only this is stored, so whoever reads the file cannot use the sessions. A token is random enough unsalted."""
    return hashlib.sha256(token.encode()).hexdigest()


if __name__ == "__main__":
    app.serve()
