"""The grammar of `.env` and `env_file`, as docker compose reads it.

`K=V`, `K: V`, `export K=V`, blanks around the sign. `#` starts a comment at the start of a line, or after a blank
that follows a value. '…' is literal, "…" knows escapes and variables, both may span lines; an unquoted value knows
variables too. A bare `K` takes the caller's value. Earlier lines are variables for later ones; the caller's win.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping

from orchestra.stack.interpolate import BadTemplate, Budget, substitute
from orchestra.stack.problems import Mark, refuse

_BLANK = " \t\v\f"
_NAME = frozenset("_.-[]abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def parse(text: str, file: str, variables: Mapping[str, str]) -> dict[str, str]:
    """The assignments of a file; `variables` are the caller's (they win inside of `${…}`)."""
    return _Parser(text.removeprefix("\ufeff").replace("\r\n", "\n"), file, variables).assignments()


def parse_raw(text: str, file: str, variables: Mapping[str, str]) -> dict[str, str]:
    """`format: raw`: each line as it is, up to its end; nothing is expanded, no quote removed."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        stripped = line.lstrip()
        if not stripped or stripped.startswith("#"):
            continue
        key, sign, value = stripped.partition("=")
        if not key or any(blank in key for blank in _BLANK):
            raise refuse(f"{key!r} is not a variable's name", Mark(file, number, 1))
        if sign:
            found[key] = value
        elif key in variables:
            found[key] = variables[key]
    return found


class _Parser:
    def __init__(self, text: str, file: str, variables: Mapping[str, str]) -> None:
        self._text = text
        self._file = file
        self._given = dict(variables)
        self._found: dict[str, str] = {}
        self._known = ChainMap(self._given, self._found)
        self._at = 0
        self._budget = Budget()

    def assignments(self) -> dict[str, str]:
        while self._skip_to_statement():
            self._statement()
        return self._found

    def _skip_to_statement(self) -> bool:
        text = self._text
        while self._at < len(text):
            if text[self._at] in _BLANK + "\n":
                self._at += 1
            elif text[self._at] == "#":
                self._at = self._line_end()
            else:
                return True
        return False

    def _line_end(self) -> int:
        end = self._text.find("\n", self._at)
        return end if end >= 0 else len(self._text)

    def _blanks(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in _BLANK:
            self._at += 1

    def _statement(self) -> None:
        line = self._text[self._at : self._line_end()]
        if line.startswith("export") and line[6:7] in tuple(_BLANK):
            self._at += 6
            self._blanks()
        start = self._at
        while self._at < len(self._text) and (self._text[self._at] in _NAME or self._text[self._at].isalnum()):
            self._at += 1
        name = self._text[start : self._at]
        self._blanks()
        sign = self._text[self._at : self._at + 1]
        if name and sign in ("=", ":"):
            self._at += 1
            self._blanks()
            self._found[name] = self._value()
        elif name and sign in ("", "\n", "#"):
            self._inherit(name)
        else:
            raise self._wrong(start, f"{self._text[start : self._line_end()]!r} is not NAME=VALUE")

    def _inherit(self, name: str) -> None:
        self._at = self._line_end()
        if name in self._given:
            self._found[name] = self._given[name]

    def _value(self) -> str:
        quote = self._text[self._at : self._at + 1]
        if quote in ("'", '"') and quote:
            return self._quoted(quote)
        start, end = self._at, self._line_end()
        value = self._text[start:end]
        for index, letter in enumerate(value):
            if letter == "#" and index and value[index - 1] == " ":
                value = value[:index]
                break
        self._at = end
        return self._expand(value.rstrip(_BLANK + "\r"), start)

    def _quoted(self, quote: str) -> str:
        start = self._at
        end = start + 1
        while end < len(self._text) and self._text[end] != quote:
            end += 2 if self._text[end] == "\\" else 1
        if end >= len(self._text):
            raise self._wrong(start, f"the closing {quote} is missing")
        body = self._text[start + 1 : end]
        self._at = end + 1
        rest = self._text[self._at : self._line_end()].strip(_BLANK)
        if rest and not rest.startswith("#"):
            raise self._wrong(self._at, f"unexpected {rest!r} after the closing {quote}")
        self._at = self._line_end()
        if quote == "'":
            return body.replace("\\'", "'")
        return self._expand(_unescape(body), start)

    def _expand(self, value: str, start: int) -> str:
        try:
            return self._budget.spend(substitute(value, self._known, lambda name: None))
        except BadTemplate as error:
            raise self._wrong(start, str(error)) from None

    def _wrong(self, at: int, what: str) -> Exception:
        before = self._text[:at]
        line = before.count("\n") + 1
        return refuse(what, Mark(self._file, line, at - (before.rfind("\n") + 1) + 1))


def _unescape(body: str) -> str:
    """Escapes of a double-quoted value; `\\$` becomes `$$`, which interpolation turns into a plain `$`."""
    text, index = "", 0
    while index < len(body):
        letter = body[index]
        if letter != "\\" or index + 1 == len(body):
            text, index = text + letter, index + 1
            continue
        following = body[index + 1]
        text += "$$" if following == "$" else _ESCAPES.get(following, "\\" + following)
        index += 2
    return text
