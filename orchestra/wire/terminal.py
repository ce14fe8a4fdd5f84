r"""What text from elsewhere may say to a terminal: nothing but what stands there to be read.

Containers, stack files and file systems choose much of what a command prints. A terminal takes some characters for
commands (C0 and C1: ECMA-48, 5.2 and 5.3), and some turn the order of what is read around (Unicode Standard Annex 9;
CVE-2021-42574). Those are spelled as JSON spells them, `\u001b`; JSON and double-quoted YAML mean the same then.
"""

from __future__ import annotations

CONTROLS = (*range(0x20), *range(0x7F, 0xA0))
"""C0, DEL and C1."""
DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Marks, embeddings, overrides and isolates of the bidirectional algorithm."""
SEPARATORS = (0x2028, 0x2029)
"""Line and paragraph separator: ends of lines to some, invisible to others."""
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


class _Spelled(dict[int, str]):
    def __missing__(self, code: int) -> str:
        if 0xD800 <= code < 0xE000:  # half of a pair, or a byte that is no UTF-8 (PEP 383): nothing can print it
            return f"\\u{code:04x}"
        raise LookupError(code)


_LINE = _Spelled({code: f"\\u{code:04x}" for code in (*CONTROLS, *DIRECTIONS, *SEPARATORS)})
_LINE.update((ord(each), spelled) for each, spelled in _SHORT.items())
_TEXT = _Spelled({code: spelled for code, spelled in _LINE.items() if chr(code) not in "\t\n"})


def line(text: str) -> str:
    """One line, whatever it holds: ends of lines and tabs are spelled as well."""
    return text if text.isprintable() else text.translate(_LINE)


def lines(text: str) -> str:
    """Text of several lines: their ends, and tabs, stay."""
    return text if text.isprintable() else text.translate(_TEXT)
