"""HTML that cannot be forgotten to be escaped.

`html("<b>{name}</b>", name=x)` escapes every value, unless it is Html already. Lists are joined.
"""

from __future__ import annotations

from html import escape


class Html(str):
    """Text that is markup, and may be put into a page as it is."""

    __slots__ = ()


def html(template: str, **values: object) -> Html:
    """Fill in a template. Only templates written in this program may come here, never what somebody sent."""
    return Html(template.format_map({name: _markup(value) for name, value in values.items()}))


def _markup(value: object) -> str:
    if isinstance(value, Html):
        return value
    if isinstance(value, (list, tuple)):
        return "".join(_markup(item) for item in value)
    return escape(str(value))
