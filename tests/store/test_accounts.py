"""Accounts: sign up, sign in, sign out, sessions."""

import sqlite3
from pathlib import Path

from store_processes import Store, eventually

ADA = {"email": "ada@example.org", "name": "Ada", "password": "correct horse"}


def test_whoever_signs_up_can_sign_in_and_is_known_by_the_token(store: Store) -> None:
    """A session's token stands for the account that it was given to."""
    account, token = store.signed_in("ada@example.org")
    status, session = store.ask("accounts", "GET", "/sessions/current", token=token)
    assert (status, session["account"]) == (200, {"id": account, "email": "ada@example.org", "name": "Ada"})


def test_a_wrong_password_and_an_unknown_email_are_refused_alike(store: Store) -> None:
    """Nobody can find out from the answer who has an account."""
    store.signed_in(ADA["email"])
    wrong = store.ask("accounts", "POST", "/sessions", ADA | {"password": "correct house"})
    unknown = store.ask("accounts", "POST", "/sessions", ADA | {"email": "bob@example.org"})
    assert wrong[0] == 401
    assert wrong == unknown


def test_an_email_has_one_account_whatever_its_case(store: Store) -> None:
    """The second sign-up with the same email is refused."""
    store.signed_in("ada@example.org")
    assert store.ask("accounts", "POST", "/accounts", ADA | {"email": "Ada@Example.org"})[0] == 409


def test_bad_sign_ups_are_refused_with_what_is_wrong(store: Store) -> None:
    """A short password, an email that is none, a missing name, a body that is no object."""
    for change, word in (({"password": "short"}, "password"), ({"email": "ada"}, "email"), ({"name": " "}, "name")):
        status, answer = store.ask("accounts", "POST", "/accounts", ADA | change)
        assert status == 422
        assert word in answer["error"]
    assert store.ask("accounts", "POST", "/accounts", ["ada"])[0] == 400


def test_after_sign_out_the_token_is_worth_nothing(store: Store) -> None:
    """Signing out ends the session at once, and may be said twice."""
    _, token = store.signed_in()
    assert store.ask("accounts", "DELETE", "/sessions/current", token=token)[0] == 200
    assert store.ask("accounts", "GET", "/sessions/current", token=token)[0] == 401
    assert store.ask("accounts", "DELETE", "/sessions/current", token=token)[0] == 200


def test_a_session_ends_by_itself(tmp_path: Path) -> None:
    """After SESSION_SECONDS a token is refused like one that never was."""
    store = Store(tmp_path, {"SESSION_SECONDS": "0.5"})
    try:
        store.start("accounts")
        _, token = store.signed_in()
        eventually(
            lambda: store.ask("accounts", "GET", "/sessions/current", token=token)[0] == 401, "the session's end"
        )
    finally:
        store.stop_all()


def test_neither_passwords_nor_tokens_can_be_read_in_the_file(store: Store, tmp_path: Path) -> None:
    """What lies on the disk is a salted hash of the one and a hash of the other."""
    _, token = store.signed_in("ada@example.org")
    store.signed_in("bob@example.org")
    with sqlite3.connect(tmp_path / "accounts" / "accounts.sqlite3") as db:
        passwords = [row[0] for row in db.execute("SELECT password FROM accounts")]
        everything = "\n".join(db.iterdump())
    db.close()
    assert len(set(passwords)) == 2, "the same password must not look the same twice"
    assert all(password.startswith("scrypt$") for password in passwords)
    assert "correct horse" not in everything
    assert token not in everything


def test_accounts_and_sessions_survive_a_kill(store: Store) -> None:
    """What was answered with 201 is on the disk."""
    account, token = store.signed_in()
    store.kill("accounts")
    store.start("accounts")
    assert store.ask("accounts", "GET", "/sessions/current", token=token)[1]["account"]["id"] == account
