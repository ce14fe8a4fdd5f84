"""Whatever is in a stack file, it gives a stack or problems."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestra.errors import OrchestraError
from orchestra.stack.files import Request, load
from orchestra.stack.read import write
from orchestra.stack.schema import text

SCHEMA: dict[str, Any] = json.loads(text())

WORDS = st.sampled_from(
    ["a", "b", "80", "80:80", "1-2:3-4", "./a:/b", "v:/v", "/t", "10m", "5s", "true", "no", "host", "service:b"]
) | st.sampled_from(
    [
        "on-failure:3",
        "A=1",
        "${A}",
        "${A:-x}",
        "-1",
        "1.5",
        "CMD",
        "::",
        "[::1]:1:2",
        "10.0.0.0/8",
        "SIGTERM",
        "0440",
        "a b",
        "é",
        "$",
    ]
)
ANYTHING = st.recursive(
    WORDS | st.integers(-5, 70000) | st.booleans() | st.none() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


def of(schema: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that nearly fit a schema: its keys, mostly its types, words that might mean something."""
    if not isinstance(schema, dict) or depth > 6:
        return ANYTHING
    if "$ref" in schema:
        return of(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], depth)
    if "anyOf" in schema:
        return st.one_of([of(branch, depth + 1) for branch in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"]) | WORDS
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    return st.one_of([_of_kind(kind, schema, depth) for kind in kinds] or [ANYTHING])


def _of_kind(kind: str, schema: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
    if kind == "object" and "properties" in schema:
        known = {key: of(inner, depth + 1) for key, inner in schema["properties"].items()}
        return st.fixed_dictionaries({key: known[key] for key in schema.get("required", ())}, optional={}).flatmap(
            lambda base: st.dictionaries(st.sampled_from(sorted(known)), st.none(), max_size=4).flatmap(
                lambda keys: st.fixed_dictionaries({key: known[key] for key in keys}).map(lambda more: base | more)
            )
        )
    if kind == "object":
        (inner,) = [*schema.get("patternProperties", {"": True}).values()][:1]
        return st.dictionaries(
            st.sampled_from(["a", "b", "v", "A", "80", "nofile"]), of(inner, depth + 1), max_size=3
        )
    if kind == "array":
        return st.lists(of(schema["items"], depth + 1), max_size=3)
    simple: dict[str, st.SearchStrategy[Any]] = {
        "string": WORDS,
        "integer": st.integers(-2, 70000),
        "number": st.integers(-2, 70000) | st.floats(),
        "boolean": st.booleans(),
        "null": st.none(),
    }
    return simple[kind]


SERVICE = of(SCHEMA["$defs"]["service"]).map(
    lambda body: {"rootfs": "host"} | body if isinstance(body, dict) else body
)
STACKS = st.fixed_dictionaries(
    {"services": st.dictionaries(st.sampled_from("ab"), SERVICE, min_size=1)},
    optional={
        key: of(SCHEMA["properties"][key]) for key in ("networks", "volumes", "secrets", "configs", "name", "version")
    },
)


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=150)
@given(document=STACKS)
def test_nearly_right_files_give_a_stack_or_problems(stack_file: Path, document: Any) -> None:
    """No other exception gets out, and what is wrong has words."""
    _load(stack_file, write(document))


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=100)
@given(
    document=st.dictionaries(st.sampled_from(["services", "networks", "name", "include", "x-a", "volumes"]), ANYTHING)
)
def test_quite_wrong_files_give_problems(stack_file: Path, document: Any) -> None:
    """Lists where mappings belong, numbers where names do."""
    _load(stack_file, write(document))


@pytest.fixture(scope="module")
def stack_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One place, written anew for each example."""
    return tmp_path_factory.mktemp("any") / "stack.yml"


def _load(stack_file: Path, content: str) -> None:
    stack_file.write_text(content)
    with contextlib.suppress(OrchestraError):
        loaded = load(Request(files=(str(stack_file),), environ={"A": "a", "HOME": "/root"}))
        assert loaded.stack.services.keys() == loaded.model["services"].keys()
