"""The schema and the code know the same keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

from orchestra.stack import compose, supported
from orchestra.stack.schema import text

SCHEMA: dict[str, Any] = json.loads(text())


def test_the_schema_is_a_schema() -> None:
    """It fits its own meta-schema."""
    Draft202012Validator.check_schema(SCHEMA)


def test_every_key_of_a_service_is_built_refused_or_warned_of() -> None:
    """Nothing is ignored in silence, and nothing is read that the schema does not know."""
    keys = set(SCHEMA["$defs"]["service"]["properties"])
    read = set(compose.SERVICE) | compose.SPECIAL
    assert keys == read | set(supported.REFUSED) | supported.WITHOUT_EFFECT
    assert not supported.WITHOUT_EFFECT & (read | set(supported.REFUSED))


def test_every_reference_leads_somewhere() -> None:
    """And every definition is used."""
    used = set(_references(SCHEMA))
    assert used == {f"#/$defs/{name}" for name in SCHEMA["$defs"]}


def test_every_mapping_is_closed() -> None:
    """An unknown key never passes, at any level."""
    open_ = [
        schema
        for schema in _schemas(SCHEMA)
        if "properties" in schema and schema.get("additionalProperties") is not False
    ]
    assert open_ == []


def _schemas(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("properties"), dict) and "type" in value:
            yield value
        for child in value.values():
            yield from _schemas(child)
    elif isinstance(value, list):
        for child in value:
            yield from _schemas(child)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for child in value.values():
            yield from _references(child)
    elif isinstance(value, list):
        for child in value:
            yield from _references(child)
