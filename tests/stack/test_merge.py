"""A later file over an earlier one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.stack.files import Loaded
from orchestra.stack.merge import merge, settle
from orchestra.stack.problems import Problems
from orchestra.stack.read import read, write

Load = Callable[..., Loaded]
Wrong = Callable[..., list[str]]


def merged(one: str, two: str) -> Any:
    (base,), (over,) = read(one, "one.yml"), read(two, "two.yml")
    return merge(base, over).plain()


def test_reset_takes_away_and_override_replaces() -> None:
    """Both are gone afterwards."""
    one = "services: {a: {x: 1, l: [1], d: {k: v}}, b: {}}"
    two = "services: {a: {x: !reset null, l: !override [2], d: !override {q: r}}, b: !reset null}"
    assert merged(one, two) == {"services": {"a": {"l": [2], "d": {"q": "r"}}}}


def test_null_removes_nothing_but_a_command() -> None:
    """Compose Specification, 13-merge.md."""
    one = "services: {a: {command: x, entrypoint: y, user: z}}"
    two = "services: {a: {command: , entrypoint: , user: }}"
    assert merged(one, two) == {"services": {"a": {"command": None, "entrypoint": None, "user": "z"}}}


def test_a_mapping_over_a_list_is_a_problem_with_both_places() -> None:
    """Except where both forms mean the same."""
    (base,), (over,) = read("a: [1]", "one.yml"), read("a: {b: 1}", "two.yml")
    with pytest.raises(Problems) as caught:
        merge(base, over)
    assert str(caught.value) == "two.yml:1:4: a: this mapping cannot go over the list in one.yml:1:4"


TEXTS = st.sampled_from(["a=1", "b=2", "c", "80:80"])
LISTS = st.lists(TEXTS, unique=True) | st.none()
PAIRS = LISTS | st.dictionaries(st.sampled_from("abc"), TEXTS | st.none())
MAPPINGS = st.dictionaries(st.sampled_from("abc"), TEXTS | LISTS) | st.none()
BODIES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("command", "dns", "tmpfs"), LISTS | TEXTS),
        **dict.fromkeys(("environment", "labels", "sysctls"), PAIRS),
        **dict.fromkeys(("logging", "deploy", "x-a"), MAPPINGS),
        "ports": LISTS,
        "user": TEXTS | st.none(),
    },
)


@given(BODIES)
def test_merging_a_file_with_itself_changes_nothing_that_matters(body: dict[str, Any]) -> None:
    """Once more makes no difference."""
    (tree,) = read(write({"services": {"a": body}}), "f.yml")
    once = merge(tree, tree)
    assert merge(once, tree).plain() == once.plain()


@given(BODIES)
def test_an_empty_file_changes_nothing(body: dict[str, Any]) -> None:
    """On either side."""
    (tree,) = read(write({"services": {"a": body}}), "f.yml")
    (empty,) = read("services: {}", "e.yml")
    assert merge(tree, empty).plain() == settle(tree).plain()
    assert merge(empty, tree).plain() == settle(tree).plain()


def test_a_service_extends_another_file_from_that_files_folder(loaded: Load) -> None:
    """Its relative paths are meant from there; the caller's variables fill it in."""
    files = {"sub/base.yml": "services: {b: {rootfs: ./r, volumes: ['./v:/v'], environment: {A: '${WHO}'}}}"}
    text = "services: {a: {extends: {file: sub/base.yml, service: b}, volumes: ['./w:/w']}}"
    stack = loaded(text, files=files, environ={"WHO": "me"}).stack
    assert [mount.source for mount in stack.services["a"].mounts] == [
        f"{stack.directory}/sub/v",
        f"{stack.directory}/w",
    ]
    assert stack.services["a"].environment == {"A": "me"}


def test_extending_in_a_circle_is_refused(wrong: Callable[..., list[str]]) -> None:
    """With the circle."""
    (line,) = wrong("services: {a: {extends: b}, b: {extends: a}}")
    assert line.endswith("a extends b, b extends a: nothing is left to start from")


def test_an_included_project_has_its_own_folder_and_variables(loaded: Load) -> None:
    """What its `.env` says fills what the caller's environment lacks."""
    files = {
        "sub/part.yml": "services: {p: {rootfs: host, volumes: ['./v:/v'], environment: [A, B], command: [$A, $B]}}",
        "sub/.env": "A=theirs\nB=theirs",
    }
    text = "include: [sub/part.yml]\nservices: {a: {rootfs: host, depends_on: [p], environment: [A]}}"
    stack = loaded(text, files=files, environ={"B": "mine"}).stack
    assert stack.services["p"].command == ("theirs", "mine")
    assert stack.services["p"].environment == {"A": "theirs", "B": "mine"}
    assert stack.services["p"].mounts[0].source == f"{stack.directory}/sub/v"
    assert stack.services["a"].environment == {}


def test_including_in_a_circle_is_refused(wrong: Callable[..., list[str]]) -> None:
    """With the circle."""
    (line,) = wrong("include: [b.yml]", files={"b.yml": "include: [stack.yml]"})
    assert "there is no end to it" in line


def test_including_a_file_that_is_also_given_beside_is_no_circle(loaded: Load) -> None:
    """With COMPOSE_FILE, or in the same entry: only a file that leads back to itself has no end."""
    files = {
        "b.yml": "services: {b: {rootfs: host}}",
        "c.yml": "include: [b.yml]\nservices: {c: {rootfs: host}}",
        "d.yml": "include: [{path: [c.yml, b.yml]}]\nservices: {d: {rootfs: host}}",
    }
    both = {"HOME": "/home/me", "COMPOSE_FILE": "stack.yml:b.yml"}
    given = loaded("include: [b.yml]\nservices: {a: {rootfs: host}}", files=files, environ=both)
    assert sorted(given.stack.services) == ["a", "b"]
    assert sorted(loaded("include: [d.yml]", files=files).stack.services) == ["b", "c", "d"]


def test_two_different_things_of_one_name_are_refused(wrong: Callable[..., list[str]]) -> None:
    """Equal ones are fine."""
    files = {"b.yml": "services: {a: {rootfs: host, user: other}}"}
    (line,) = wrong("include: [b.yml]\nservices: {a: {rootfs: host}}", files=files)
    assert "a is also in b.yml, which this file includes, and differs" in line


@pytest.mark.parametrize(
    "name", ["oci://docker.io/some/app:1", "https://example.org/app.git", "git@example.org:app.git"]
)
def test_what_is_elsewhere_is_not_included(wrong: Wrong, name: str) -> None:
    """Nothing is fetched to read a stack file."""
    (line,) = wrong(f"include: ['{name}']\nservices: {{a: {{rootfs: host}}}}")
    assert f"{name} is not on this machine" in line


def test_a_service_extends_an_included_one(loaded: Load) -> None:
    """As docker compose does since 2.41."""
    files = {"b.yml": "services: {base: {rootfs: host, command: [x], labels: {a: '1'}}}"}
    stack = loaded("include: [b.yml]\nservices: {a: {rootfs: host, extends: base}}", files=files).stack
    assert (stack.services["a"].command, stack.services["a"].labels) == (("x",), {"a": "1"})
