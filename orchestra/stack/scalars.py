"""Plain YAML words as values, and values as words.

The words are those of the YAML 1.2 core schema with Go's numbers, as docker compose reads them: only true and false
are booleans, `no`, `on` and `22:22` are strings, `017` is octal, `1_000` is a thousand.
"""

from __future__ import annotations

import math
import re

Word = str | int | float | bool | None

_WORDS: dict[str, Word] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
_INTEGER = re.compile(r"[-+]?(0x[0-9a-f]+|0o[0-7]+|0b[01]+|0[0-7]*|[1-9][0-9]*)\Z", re.IGNORECASE)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_LONGEST_NUMBER = 64
_MAY_BE_NUMBER = frozenset("0123456789+-.")


def word(text: str) -> Word:
    """What an unquoted scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _MAY_BE_NUMBER or len(text) > _LONGEST_NUMBER:
        return text
    digits = text.replace("_", "") if text[0] != "." else text
    if _INTEGER.match(digits):
        number = _integer(digits)
        return number if -(2**63) <= number < 2**64 else float(number)
    if not _FLOAT.match(digits) or math.isinf(float(digits)):
        return text
    return float(digits)


def _integer(digits: str) -> int:
    sign, body = (-1 if digits[0] == "-" else 1), digits.lstrip("+-").lower()
    if body.startswith(("0x", "0o", "0b")):
        return sign * int(body, 0)
    return sign * int(body, 8 if body.startswith("0") else 10)


def spelled(value: Word) -> str:
    """A value as Go prints it with %v: 1.50 is 1.5, 1234567.0 is 1.234567e+06."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _spelled_float(value)
    return str(value)


def _spelled_float(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    if value in (0.0, -0.0):
        return "-0" if str(value)[0] == "-" else "0"
    # The fewest digits that still read back as this number; Go turns to an exponent from 1e6 on and below 1e-4.
    mantissa, exponent = next(
        text.split("e") for text in (f"{value:.{digits}e}" for digits in range(18)) if float(text) == value
    )
    if -4 <= int(exponent) < 6:
        return repr(value).removesuffix(".0")
    return f"{mantissa}e{exponent}"
