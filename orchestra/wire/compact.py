"""JSON in as few bytes as it takes, by the C halves of the standard library's json alone.

`import json` brings regular expressions, which cost a command more than everything that it has to say: 6 ms. What
these C functions are called with is what json.encoder and json.scanner call them with (CPython 3.11 to 3.14).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    from _json import encode_basestring_ascii, make_encoder, make_scanner
except ImportError:  # another Python than CPython
    import json

    def dumps(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"))

    def loads(text: str) -> Any:
        return json.loads(text)

else:

    class _Usual:
        """What json.loads does when it is asked for nothing special."""

        strict = True
        object_hook = object_pairs_hook = None
        parse_float, parse_int, parse_constant = float, int, float

    def _foreign(value: object) -> Any:
        raise TypeError(f"{type(value).__name__} is nothing that JSON knows")

    _scan = make_scanner(_Usual)  # type: ignore[arg-type]  # a JSONDecoder is one of those that have these
    _parts = make_encoder(None, _foreign, encode_basestring_ascii, None, ":", ",", False, False, True)

    def dumps(value: Any) -> str:
        """As json.dumps without blanks. Raises TypeError for what JSON does not know."""
        return "".join(_parts(value, 0))

    def loads(text: str) -> Any:
        """As json.loads. Raises ValueError for what is not one JSON value."""
        start = len(text) - len(text.lstrip(" \t\n\r"))
        try:
            value, end = _scan(text, start)
        except StopIteration:
            raise ValueError("there is no value") from None
        except SystemError:
            # What is no JSON it would say with json.decoder's own error, which only json's import brings.
            raise ValueError("this is not JSON") from None
        if text[end:].strip(" \t\n\r"):
            raise ValueError(f"more than one value, at character {end}")
        return value
