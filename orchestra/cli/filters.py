"""`--filter KEY=VALUE` of docker's listings: values of one key are alternatives, keys all have to fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from orchestra.errors import OrchestraError

Test = Callable[[str], bool]


def fits(filters: Sequence[str], tests: Mapping[str, Test]) -> bool:
    """Raises OrchestraError for a key that is not among the tests."""
    by_key: dict[str, list[str]] = {}
    for each in filters:
        key, sign, value = each.partition("=")
        if not sign or key not in tests:
            known = ", ".join(f"{name}=…" for name in tests)
            raise OrchestraError(f"--filter {each}: not supported", f"use one of {known}")
        by_key.setdefault(key, []).append(value)
    return all(any(tests[key](value) for value in values) for key, values in by_key.items())


def truth(value: str, is_so: bool) -> bool:
    """For `dangling=true`. Raises OrchestraError for what is neither true nor false."""
    if value.lower() not in ("true", "1", "false", "0"):
        raise OrchestraError(f"--filter: {value!r} is neither true nor false", "write dangling=true")
    return is_so == (value.lower() in ("true", "1"))


def has_label(labels: Mapping[str, str], asked: str) -> bool:
    """`label=KEY` or `label=KEY=VALUE`."""
    key, sign, value = asked.partition("=")
    return key in labels and (not sign or labels[key] == value)


def labels_of(texts: Sequence[str]) -> dict[str, str]:
    """From `--label KEY=VALUE`."""
    return {key: value for key, _, value in (text.partition("=") for text in texts)}


def spelled(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
