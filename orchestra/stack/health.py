"""`healthcheck`: `test`, its times, and our own probes `http` and `tcp` that need no process in the container."""

from __future__ import annotations

from typing import Any

from orchestra.stack import units
from orchestra.stack.model import ExecProbe, Healthcheck, HttpProbe, Probe, TcpProbe
from orchestra.stack.problems import Path
from orchestra.stack.scalars import spelled
from orchestra.stack.scope import Scope, shown

_TIMES = ("interval", "timeout", "start_period", "start_interval")
_PROBES = ("test", "http", "tcp")


def healthcheck(value: dict[str, Any] | None, path: Path, scope: Scope) -> dict[str, Any] | None:
    """The long form: `test` a list, times as Go prints them."""
    if value is None:
        return None
    found: dict[str, Any] = {}
    for key, entry in value.items():
        at = (*path, key)
        if key.startswith("x-"):
            continue
        if key == "test":
            _put(found, key, _test(entry, at, scope))
        elif key in _TIMES:
            time = scope.duration(entry, at)
            _put(found, key, None if time is None else units.spelled_duration(time))
        elif key == "retries":
            _put(found, key, scope.integer(entry, at, 0))
        elif key == "disable":
            _put(found, key, scope.flag(entry, at) or None)
        elif key == "http" and _http(str(entry)) is None:
            scope.report.problem(at, f'{shown(entry)} is not an address to ask (write it like "http://:8080/health")')
        elif key == "tcp" and _tcp(spelled(entry)) is None:
            scope.report.problem(at, f'{shown(entry)} is not a port (write it like 8080 or "host:8080")')
        else:
            found[key] = spelled(entry) if key == "tcp" else entry
    _one_probe(found, path, scope)
    return found


def _put(found: dict[str, Any], key: str, value: Any) -> None:
    if value is not None:
        found[key] = value


def _one_probe(found: dict[str, Any], path: Path, scope: Scope) -> None:
    probes = [key for key in _PROBES if key in found]
    if len(probes) > 1:
        scope.report.key_problem(path, f"{' and '.join(probes)} exclude each other (keep one of them)")


def _test(value: Any, path: Path, scope: Scope) -> list[str] | None:
    if isinstance(value, str):
        return ["CMD-SHELL", value]
    test = scope.texts(value, path)
    if not test or test[0] not in ("NONE", "CMD", "CMD-SHELL"):
        scope.report.problem(path, "the list does not start with CMD, CMD-SHELL or NONE")
        return None
    if test[0] != "NONE" and len(test) == 1:
        scope.report.problem(path, f"nothing to run after {test[0]}")
        return None
    return test


def _http(text: str) -> HttpProbe | None:
    """`http://:8080/health`: an empty host is the container itself."""
    if not text.startswith("http://"):
        return None
    authority, slash, path = text.removeprefix("http://").partition("/")
    host, _colon, port = authority.rpartition(":") if ":" in authority else (authority, "", "80")
    number = _port(port)
    return (
        None if number is None or any(c <= " " for c in text) else HttpProbe(_bare(host), number, slash + path or "/")
    )


def _tcp(text: str) -> TcpProbe | None:
    host, _, port = text.rpartition(":")
    number = _port(port)
    return None if number is None or any(c <= " " for c in host) else TcpProbe(_bare(host), number)


def _bare(host: str) -> str:
    """An IPv6 address without its brackets."""
    return host.removeprefix("[").removesuffix("]")


def _port(text: str) -> int | None:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0
    return number if 1 <= number <= 65535 else None


def parsed(model: dict[str, Any] | None, path: Path, scope: Scope) -> Healthcheck | None:
    """None when there is no check or it is switched off. A lone `interval` has no test to apply to."""
    if not model or model.get("disable") or model.get("test") == ["NONE"]:
        return None
    probe = _probe(model)
    if probe is None:
        if not any(key in model for key in _PROBES):
            scope.report.key_problem(path, "nothing to check with (expected test, http or tcp)")
        return None
    seconds = {key: (units.duration(model[key]) or 0) / 1e9 for key in _TIMES if key in model}
    # Zero means the default, as in moby's HealthConfig.
    given: dict[str, Any] = {key: value for key, value in seconds.items() if value > 0}
    if model.get("retries"):
        given["retries"] = model["retries"]
    return Healthcheck(probe, **given)


def _probe(model: dict[str, Any]) -> Probe | None:
    if "http" in model:
        return _http(model["http"])
    if "tcp" in model:
        return _tcp(model["tcp"])
    kind, *words = model.get("test") or [""]
    if kind == "CMD-SHELL":
        return ExecProbe(("/bin/sh", "-c", " ".join(words)))
    return ExecProbe(tuple(words)) if kind == "CMD" else None
