"""`command: a "b c"` as a list of words, split as docker compose splits it: like a shell, but nothing is expanded."""

from __future__ import annotations

_ENDS = ";&|<>"


def split(text: str) -> tuple[list[str], str]:
    """The words, and what is left behind the first unquoted `;`, `&`, `|`, `<` or `>` (nothing runs it).

    Raises ValueError when a quote is not closed, or a parenthesis has none.
    """
    words: list[str] = []
    current, started, quote, escaped, backquoted, depth = "", False, "", False, False, 0
    for index, letter in enumerate(text):
        if escaped:
            current, escaped = current + letter, False
        elif letter == "\\" and quote != "'":
            escaped = started = True
        elif depth or (letter == "(" and not quote and current.endswith("$")):
            depth += (letter == "(") - (letter == ")")
            current += letter
        elif backquoted or (letter == "`" and not quote):
            backquoted = backquoted != (letter == "`")
            current, started = current + letter, True
        elif quote:
            if letter == quote:
                quote = ""
            else:
                current += letter
        elif letter in "'\"":
            quote, started = letter, True
        elif letter in " \t\r\n":
            if current or started:
                words.append(current)
            current, started = "", False
        elif letter in "()":
            raise ValueError(f"{letter} outside of quotes")
        elif letter in _ENDS:
            if letter == ">" and current[:1].isdigit():
                current, started = "", False  # the 2 of 2> is no word
            return ([*words, current] if current or started else words), text[index:]
        else:
            current, started = current + letter, True
    if quote or escaped or backquoted or depth:
        raise ValueError("a quote is not closed")
    return ([*words, current] if current or started else words), ""
