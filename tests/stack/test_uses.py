"""`uses`: a service that another stack owns, as the files say it, and what may be wrong with that."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from orchestra.stack.files import Loaded, to_json
from orchestra.stack.graph import dot, tree
from orchestra.stack.model import Join, Stack, Use
from orchestra.wire.codec import decode, encode

Load = Callable[..., Loaded]
Wrong = Callable[..., list[str]]

OWNER = """
name: id
services:
  accounts:
    rootfs: host
    command: [serve]
    depends_on: [db]
    healthcheck: {tcp: 80}
    ports: ["8099:80"]
    environment: {WHO: "${WHO:-nobody}", FOLDER: "${COMPOSE_PROJECT_NAME}"}
    volumes: ["./data:/data"]
  db: {rootfs: host, command: [store], container_name: the-db}
  rare: {rootfs: host, command: [run], profiles: [seldom]}
  bare: {rootfs: host, command: [run], network_mode: host}
  way: {rootfs: host, command: [run], sysctls: {net.ipv4.ip_forward: "1"}}
"""
FILES = {"id/id.yml": OWNER}
WEB = "  web: {rootfs: host, command: [serve], depends_on: {accounts: {condition: service_healthy}}}\n"


def using(entry: str, more: str = "") -> str:
    return f"services:\n  accounts: {entry}\n{more}"


def test_a_used_service_is_no_service_of_the_stack(loaded: Load) -> None:
    """It is a use, with the networks that it is to be found in; its owner comes along as a stack of its own."""
    text = using("{uses: {stack: id/id.yml, service: accounts}, networks: {n: {aliases: [members]}}}", WEB)
    stack = loaded(text + "networks: {n: {}}", files=FILES).stack
    use = stack.uses["accounts"]
    assert (use.name, use.stack, use.service) == ("accounts", "id", "accounts")
    assert use.file.endswith("/shop/id/id.yml")
    assert use.networks == (Join("n", aliases=("members",)),)
    assert set(stack.services) == {"web"}
    assert [need.service for need in stack.services["web"].depends_on] == ["accounts"]
    assert set(stack.owners["id"].services) == {"accounts", "db", "bare", "way"}
    assert decode(Stack, json.loads(json.dumps(encode(stack)))) == stack


def test_the_service_has_the_users_name_by_default(loaded: Load) -> None:
    """And may have another one; the default network is joined like by any other service."""
    stack = loaded(
        "services: {db: {uses: {stack: id/id.yml}}, it: {uses: {stack: id/id.yml, service: db}}}", files=FILES
    )
    assert {name: (use.service, use.networks) for name, use in stack.stack.uses.items()} == {
        "db": ("db", (Join("default"),)),
        "it": ("db", (Join("default"),)),
    }


def test_the_owner_is_what_it_is_whoever_uses_it(loaded: Load) -> None:
    """Its own folder, .env and name; options and variables that choose the user's stack are not about it."""
    files = {**FILES, "id/.env": "WHO=owner\n", ".env": "WHO=user\n"}
    environ = {"HOME": "/h", "COMPOSE_PROJECT_NAME": "user", "COMPOSE_PROFILES": "seldom"}
    stack = loaded(using("{uses: {stack: id/id.yml}}"), files=files, environ=environ, project_name="mine").stack
    owner = stack.owners["id"]
    assert (stack.name, owner.name) == ("mine", "id")
    assert owner.services["accounts"].environment == {"WHO": "owner", "FOLDER": "id"}
    assert owner.services["accounts"].mounts[0].source == f"{stack.directory}/id/data"
    assert "rare" not in owner.services


def test_using_a_service_switches_its_profiles_on(loaded: Load) -> None:
    """As naming it on the command line does."""
    stack = loaded("services: {rare: {uses: {stack: id/id.yml}}}", files=FILES).stack
    assert "rare" in stack.owners["id"].services


def test_config_prints_the_use_with_its_path(loaded: Load) -> None:
    """And what is printed can be read back."""
    printed = json.loads(to_json(loaded(using("{uses: {stack: ./id/id.yml}}"), files=FILES).model))
    use = printed["services"]["accounts"]["uses"]
    assert (use["service"], use["stack"].endswith("/shop/id/id.yml")) == ("accounts", True)
    assert printed["services"]["accounts"] == {"uses": use, "networks": {"default": None}}
    assert loaded(json.dumps(printed), files=FILES).stack.uses["accounts"].file == use["stack"]


def test_the_path_is_meant_from_the_file_that_says_it(loaded: Load) -> None:
    """Also where that file is included, or extended from."""
    part = "services: {accounts: {uses: {stack: ../id/id.yml}}}"
    files = {**FILES, "sub/part.yml": part}
    included = loaded("include: [sub/part.yml]\nservices: {a: {rootfs: host, command: [a]}}", files=files)
    assert included.stack.uses["accounts"].file.endswith("/shop/id/id.yml")
    extended = "services: {accounts: {extends: {file: sub/part.yml, service: accounts}}}"
    assert loaded(extended, files=files).stack.uses["accounts"].file.endswith("/shop/id/id.yml")


def test_the_graph_shows_whose_it_is(loaded: Load) -> None:
    """As a leaf of the tree, and as a dashed node for Graphviz."""
    stack = loaded(using("{uses: {stack: id/id.yml}}", WEB), files=FILES).stack
    assert tree(stack) == "web\n└─ accounts (healthy, of stack id)"
    assert '"accounts" [style=dashed, label="accounts of stack id"];' in dot(stack)
    assert '"web" -> "accounts"' in dot(stack)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            using("{uses: {stack: nowhere.yml}}"),
            "accounts.uses.stack: cannot read nowhere.yml: No such file",
        ),
        (
            using("{uses: {stack: id/id.yml, service: acounts}}"),
            "services.accounts.uses.service: there is no service 'acounts' in id/id.yml (did you mean 'accounts'?)",
        ),
        (using("{uses: {service: accounts}}"), "services.accounts.uses: stack is missing"),
        (
            using("{uses: {stack: id/id.yml}, command: [x]}"),
            "services.accounts.command: command has no place beside uses: the stack that owns the service says it",
        ),
        (
            using("{uses: {stack: id/id.yml}, networks: {default: {ipv4_address: 10.0.0.9}}}"),
            "ipv4_address: a shared service may have several containers, so it has no fixed address",
        ),
        (using("{uses: {stack: stack.yml}}"), "uses.stack: a stack cannot use a service of its own"),
        (
            "name: id\n" + using("{uses: {stack: id/id.yml}}"),
            "uses.stack: that stack is called id, too (give one of them another name:)",
        ),
        (
            "services: {bare: {uses: {stack: id/id.yml}}}",
            "uses: bare has no network of its own (network_mode), so it cannot be joined to another one",
        ),
        ("services: {way: {uses: {stack: id/id.yml}}}", "uses: way forwards (net.ipv4.ip_forward)"),
        (
            "services: {db: {uses: {stack: id/id.yml}}, a: {rootfs: host, command: [a], "
            "depends_on: {db: {condition: service_healthy}}}}",
            "services.a.depends_on.db.condition: db has no healthcheck in its own stack",
        ),
        (
            using("{uses: {stack: id/id.yml}}", "  a: {rootfs: host, command: [a], ports: ['127.0.0.1:8099:1']}"),
            "services.a.ports[0]: host port 8099/tcp is published by accounts of stack id, which is used here",
        ),
        (
            using("{uses: {stack: id/id.yml}}", "  a: {rootfs: host, command: [a], container_name: the-db}"),
            "services.a.container_name: 'the-db' is the name of db of stack id, which is used here",
        ),
        (
            using(
                "{uses: {stack: id/id.yml}}", "  a: {rootfs: host, command: [a], network_mode: 'service:accounts'}"
            ),
            "services.a.network_mode: accounts belongs to another stack, whose network cannot be shared",
        ),
    ],
)
def test_what_is_wrong_is_told_where_it_is(wrong: Wrong, text: str, says: str) -> None:
    """One line each, with the place in the user's file."""
    told = wrong(text, files=FILES)
    assert [line for line in told if says in line and line.startswith("stack.yml:")], told


def test_what_is_wrong_with_the_owner_is_told_in_the_owners_file(wrong: Wrong) -> None:
    """All of it, together with what is wrong with the user's own."""
    bad = {"id/id.yml": "name: id\nservices: {accounts: {rootfs: host, comand: [x]}}"}
    told = wrong(using("{uses: {stack: id/id.yml}, image: x}"), files=bad)
    assert any(line.startswith("id/id.yml:2:") and "unknown key 'comand'" in line for line in told)
    assert any(line.startswith("stack.yml:2:") and "image has no place beside uses" in line for line in told)


def test_stacks_that_use_each_other_are_told_as_the_path_that_they_are(wrong: Wrong) -> None:
    """However long it is: nobody could be first."""
    use = "name: {0}\nservices: {{ {1}: {{uses: {{stack: ../{1}/{1}.yml}}}}, {0}: {{rootfs: host, command: [x]}} }}"
    files = {f"{one}/{one}.yml": use.format(one, other) for one, other in (("a", "b"), ("b", "c"), ("c", "a"))}
    told = wrong("services: {a: {uses: {stack: a/a.yml}}}", files=files)
    walk = "a/a.yml uses b/b.yml, b/b.yml uses c/c.yml, c/c.yml uses a/a.yml: nobody is first"
    assert [line for line in told if line.endswith(walk) and line.startswith("c/c.yml:2:")], told


def test_a_service_that_the_owner_only_uses_is_had_from_its_own_owner(wrong: Wrong) -> None:
    """Nobody lends what is not his; the message says where it is."""
    middle = "name: m\nservices: {accounts: {uses: {stack: ../id/id.yml}}}"
    told = wrong(using("{uses: {stack: m/m.yml}}"), files={**FILES, "m/m.yml": middle})
    assert "accounts is not of that stack either (say stack: id/id.yml)" in told[0]


def test_a_use_is_a_value() -> None:
    """With no networks unless some are named."""
    assert Use("a", "b", "c", "/d").networks == ()
