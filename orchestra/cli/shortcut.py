"""The commands that are given most, in their plainest wording, without a parser of options and of YAML.

`ps`, `up -d` and `down` of a stack whose name needs no reading, or whose file has been read before and is unchanged:
what then is left to do takes less time than to import click. Everything that is done is done by the very functions
that the long way calls; whatever is unusual takes the long way.
"""

from __future__ import annotations

import os

from orchestra.stack.finding import normalised

from .asked import FILE_ENDINGS, Asked
from .recipe import recall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FLAGS = {"ps": (), "up": ("-d", "--detach", "--wait"), "down": ()}
FILE = ("-f", "--file")
NAME = ("-p", "--project-name")


def shortcut(arguments: Sequence[str]) -> int | None:
    """The exit status, or None: take the long way. Raises what the long way raises."""
    plain = read(arguments)
    if plain is None:
        return None
    command, flags, asked = plain
    return {"ps": _ps, "up": _up, "down": _down}[command](asked, flags)


def read(arguments: Sequence[str]) -> tuple[str, set[str], Asked] | None:
    """The command, its flags and the stack, where each word can be understood by itself."""
    command, flags, asked = "", set[str](), Asked.of(os.environ)
    words = iter(arguments)
    for word in words:
        if word in FILE or word in NAME:
            value = next(words, "-")
            if value.startswith("-"):
                return None
            if word in NAME:
                asked.project_name = value
            else:
                asked.files.append(value)
        elif not command and word in FLAGS:
            command = word
        elif command and word in FLAGS[command]:
            flags.add(word)
        elif command and word.endswith(FILE_ENDINGS) and not word.startswith("-") and not asked.files:
            asked.files.append(word)
        else:
            return None
    return (command, flags, asked) if command else None


def _name(asked: Asked) -> str | None:
    given = asked.project_name
    if given:
        return given if given == normalised(given) else None
    recipe = recall(asked)
    return recipe.name if recipe else None


def _ps(asked: Asked, _: set[str]) -> int | None:
    name = _name(asked)
    if name is None:
        return None
    from .listing import chosen, rows_of, show

    show(name, chosen(rows_of(asked.home().stack(name))))
    return 0


def _down(asked: Asked, _: set[str]) -> int | None:
    name = _name(asked)
    if name is None:
        return None
    from .taking import down_request, nothing_there, take_away

    places = asked.home().stack(name)
    if not take_away(asked, places, down_request()):
        nothing_there(places)
    return 0


def _up(asked: Asked, flags: set[str]) -> int | None:
    recipe = recall(asked) if flags else None
    if recipe is None or recipe.stack is None:
        return None
    from .bringing import apply_request, bring_up
    from .telling import warn

    for warning in recipe.warnings:
        warn(warning)
    request = apply_request(asked, recipe.stack, until="healthy" if "--wait" in flags else "running")
    known = {*recipe.scales, *recipe.disabled}
    return bring_up(asked, asked.home().stack(recipe.name), request, recipe.scales, known)
