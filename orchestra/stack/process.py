"""The keys of a service that say what its process is: command, environment, user, signals, labels."""

from __future__ import annotations

from typing import Any

from orchestra.errors import OrchestraError
from orchestra.stack import dotenv, shell, units
from orchestra.stack.problems import Path, Problems, spell
from orchestra.stack.scope import Scope, shown

# Numbers of x86 and arm (signal(7)); both spellings that Linux knows for a number keep the common one.
_SIGNALS = [
    "HUP",
    "INT",
    "QUIT",
    "ILL",
    "TRAP",
    "ABRT",
    "BUS",
    "FPE",
    "KILL",
    "USR1",
    "SEGV",
    "USR2",
    "PIPE",
    "ALRM",
    "TERM",
    "STKFLT",
    "CHLD",
    "CONT",
    "STOP",
    "TSTP",
    "TTIN",
    "TTOU",
    "URG",
    "XCPU",
    "XFSZ",
    "VTALRM",
    "PROF",
    "WINCH",
    "IO",
    "PWR",
    "SYS",
]
_ALIASES = {"POLL": "IO", "IOT": "ABRT", "CLD": "CHLD"}


def command(value: Any, path: Path, scope: Scope) -> list[str] | None:
    """A list as it is, a string split; null is the image's own, empty is none at all."""
    if value is None or isinstance(value, list):
        return value if value is None else scope.texts(value, path)
    try:
        words, rest = shell.split(str(value))
    except ValueError as error:
        scope.report.problem(path, f"{shown(value)} cannot be split into words: {error}")
        return []
    if rest:
        scope.report.warn(
            f"{spell(path)}: {shown(rest)} is left out, no shell runs it (write it as: sh -c '…' to have one)"
        )
    return words


def environment(service: dict[str, Any], path: Path, scope: Scope) -> dict[str, str | None]:
    """`env_file` in order, then `environment`, which wins; a bare key takes the caller's value."""
    found: dict[str, str | None] = {}
    for index, entry in enumerate(_entries(service.get("env_file"))):
        if entry is None:
            continue
        found.update(_env_file(entry, (*path, "env_file", index), scope, found))
    for key, value in scope.pairs(service.get("environment"), (*path, "environment"), bare=None).items():
        if not key or "=" in key:
            scope.report.problem((*path, "environment", key), f"{key!r} is not a variable's name")
        found[key] = scope.variables.get(key) if value is None else value
    return found


def _entries(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _env_file(entry: Any, path: Path, scope: Scope, earlier: dict[str, str | None]) -> dict[str, str]:
    long = entry if isinstance(entry, dict) else {"path": entry}
    required = scope.flag(long.get("required", True), (*path, "required"))
    kind = long.get("format", "")
    if kind not in ("", "raw", "compose"):
        scope.report.problem((*path, "format"), f"{shown(kind)} is not a format of env_file (expected raw, or none)")
        return {}
    name = scope.absolute(str(long.get("path", "")))
    known = {**{key: value for key, value in earlier.items() if value is not None}, **scope.variables}
    try:
        text = scope.read_text(name)
        return dotenv.parse_raw(text, name, known) if kind == "raw" else dotenv.parse(text, name, known)
    except FileNotFoundError:
        if required is not False:
            scope.report.problem(path, f"{name} does not exist (create it, or say required: false)")
    except OSError as error:
        scope.report.problem(path, f"{name} cannot be read: {error.strerror or error}")
    except Problems as wrong:
        scope.report.problems.extend(wrong.problems)
    except OrchestraError as error:
        scope.report.problem(path, error.what)
    return {}


def stop_signal(text: str) -> str | None:
    """`usr1`, `SIGUSR1`, `10` as SIGUSR1; `SIGRTMIN+3` stays; None if there is no such signal."""
    word = text.strip().upper().removeprefix("SIG")
    if word.isdecimal():
        number = int(word[:9])
        return f"SIG{_SIGNALS[number - 1]}" if 1 <= number <= len(_SIGNALS) else _real_time(number)
    if word in _SIGNALS or word in _ALIASES:
        return f"SIG{_ALIASES.get(word, word)}"
    for base, sign, limit in (("RTMIN", "+", 15), ("RTMAX", "-", 14)):
        rest = word.removeprefix(base)
        steps = rest.removeprefix(sign)
        if rest != word and (rest == "" or (steps != rest and steps.isdecimal() and int(steps[:9]) <= limit)):
            return f"SIG{base}{sign}{int(steps)}" if rest else f"SIG{base}"
    return None


def _real_time(number: int) -> str | None:
    if not 34 <= number <= 64:
        return None
    return "SIGRTMIN" if number == 34 else f"SIGRTMIN+{number - 34}" if number <= 49 else _from_end(number)


def _from_end(number: int) -> str:
    return "SIGRTMAX" if number == 64 else f"SIGRTMAX-{64 - number}"


def grace(value: Any, path: Path, scope: Scope) -> str | None:
    found = scope.duration(value, path)
    return None if found is None else units.spelled_duration(found)
