"""Ports and mounts given on the command line, in the words of the stack file."""

from __future__ import annotations

from collections.abc import Iterable

from orchestra.errors import OrchestraError
from orchestra.stack import mounts as mount_words
from orchestra.stack import ports as port_words
from orchestra.stack.finding import read_text
from orchestra.stack.model import Mount, Port
from orchestra.stack.nodes import empty
from orchestra.stack.problems import Mark
from orchestra.stack.scope import Report, Scope

from .options import Asked


def ports(asked: Asked, texts: Iterable[str]) -> tuple[Port, ...]:
    scope = _scope(asked)
    found = port_words.ports(list(texts), ("--publish",), scope)
    _refuse(scope)
    return port_words.parsed(found)


def mounts(asked: Asked, texts: Iterable[str]) -> tuple[Mount, ...]:
    scope = _scope(asked)
    found = mount_words.volumes(list(texts), ("--volume",), scope)
    _refuse(scope)
    return mount_words.parsed({"volumes": found})


def _scope(asked: Asked) -> Scope:
    report = Report(empty(Mark("command line", 1, 1)))
    return Scope(report, asked.cwd, asked.environ.get("HOME", "/"), asked.environ, read_text)


def _refuse(scope: Scope) -> None:
    if problems := scope.report.problems:
        raise OrchestraError("\n".join(f"{each.path[0]}: {each.what}" for each in problems))
