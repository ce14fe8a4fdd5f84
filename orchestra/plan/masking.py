"""What is not shown to people who only look: values that are named like secrets, and passwords in addresses."""

from __future__ import annotations

import re
from typing import Any

MASK = "••••••"
SECRET_NAME = re.compile(
    r"pass(?:word|wd|phrase)?(?:$|[_\-.])|secret|token|credential|api_?key|private_?key|access_?key|encryption_?key"
    r"|signing_?key|(?:^|[_\-.])(?:key|pwd|auth|dsn|salt|cookie)$",
    re.IGNORECASE,
)
ADDRESS = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.\-]*://[^\s/:@]*):[^\s/@]+@")
OPTION = re.compile(r"(?P<option>--?(?:[\w\-]*(?:password|passwd|secret|token|api-?key))(?:=|\s+))\S+", re.IGNORECASE)
ASSIGNMENT = re.compile(r"\b(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>[^\s'\"]+)")


def is_secret(name: str) -> bool:
    """Whether a variable, label or option of this name holds something to keep."""
    return bool(SECRET_NAME.search(name))


def shown(name: str, value: str) -> str:
    """A value as it may be shown."""
    return MASK if value and is_secret(name) else masked_text(value)


def masked_text(text: str) -> str:
    """A command line or an address without the passwords in it."""
    text = ADDRESS.sub(rf"\g<scheme>:{MASK}@", text)
    text = OPTION.sub(rf"\g<option>{MASK}", text)
    return ASSIGNMENT.sub(lambda found: f"{found['name']}={MASK}" if is_secret(found["name"]) else found[0], text)


def masked(value: Any, name: str = "") -> Any:
    """The same for whatever JSON can hold; a `name` counts for all that is below it."""
    if isinstance(value, dict):
        return {key: masked(child, key if not is_secret(name) else name) for key, child in value.items()}
    if isinstance(value, list):
        return [masked(child, name) for child in value]
    return shown(name, value) if isinstance(value, str) else value
