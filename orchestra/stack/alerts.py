"""`x-alerts` (ours): who is told when something is wrong, and what counts as wrong.

    x-alerts:
      receivers:
        phone: {url: "https://ntfy.sh/${TOPIC}", format: text}
        team: {url: "https://example.org/hook", headers: {Authorization: "Bearer ${TOKEN}"}, timeout: 5s}
      rules:
        unhealthy: {for: 2m}                          # other settings for a rule that is there anyhow
        oom: false                                    # or none of it
        panic: {log: [panic, FATAL], services: [orders]}
        busy: {cpu: 90%, for: 5m}                     # of its limit; memory and pids likewise
        flapping: {restarts: 5, within: 10m}

Words of `log` are looked for as they are, not as patterns: a pattern of somebody else's file could take for ever.
"""

from __future__ import annotations

from typing import Any, get_args
from urllib.parse import urlsplit

from orchestra.stack import units
from orchestra.stack.model import Alerting, AlertKind, AlertRule, Receiver
from orchestra.stack.problems import Path, did_you_mean
from orchestra.stack.scalars import spelled
from orchestra.stack.scope import Scope, is_scalar, shown, without_extensions
from orchestra.values import replace

KEY = "x-alerts"
BUILT_IN: tuple[AlertRule, ...] = (
    AlertRule("unhealthy", "health", lasting=30.0),
    AlertRule("ended", "ended", lasting=1.0),
    AlertRule("crash-loop", "restarts", above=3, within=300.0),
    AlertRule("oom", "oom", within=300.0),
    AlertRule("memory", "memory", above=0.9, lasting=120.0),
    AlertRule("processes", "pids", above=0.9, lasting=60.0),
)
_SHARES = ("cpu", "memory", "pids")
_KINDS = get_args(AlertKind)
_SETTINGS = ("for", "within", "services")
TIMEOUT = 10.0
LONGEST_TIMEOUT = 60.0


def parsed(value: Any, services: Any, scope: Scope) -> Alerting | None:
    """None where the file says nothing: then there are the built-in rules, and nobody to tell."""
    if value is None:
        return None
    path: Path = (KEY,)
    if not isinstance(value, dict):
        scope.report.problem(path, f"{shown(value)} is not a mapping of receivers and rules")
        return None
    for key in without_extensions(value):
        if key not in ("receivers", "rules"):
            meant = did_you_mean(key, ("receivers", "rules"))
            scope.report.key_problem((*path, key), f"there is no {key!r}{meant} (expected receivers or rules)")
    receivers = _mapping(value.get("receivers"), (*path, "receivers"), scope)
    rules = {rule.name: rule for rule in BUILT_IN}
    for name, given in _mapping(value.get("rules"), (*path, "rules"), scope).items():
        rule = _rule(name, given, rules.get(name), services, (*path, "rules", name), scope)
        rules.pop(name, None)
        if rule is not None:
            rules[name] = rule
    told = [_receiver(name, given, (*path, "receivers", name), scope) for name, given in receivers.items()]
    return Alerting(tuple(one for one in told if one), tuple(rules.values()))


def _mapping(value: Any, path: Path, scope: Scope) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, dict):
        return without_extensions(value)
    scope.report.problem(path, f"{shown(value)} is not a mapping of names")
    return {}


def _receiver(name: str, given: Any, path: Path, scope: Scope) -> Receiver | None:
    entry = {"url": given} if isinstance(given, str) else given
    if not isinstance(entry, dict):
        scope.report.problem(path, "a receiver is an address, or a mapping with a url")
        return None
    keys = ("url", "format", "headers", "timeout")
    for key in without_extensions(entry):
        if key not in keys:
            scope.report.key_problem((*path, key), f"there is no {key!r}{did_you_mean(key, keys)}")
    url = entry.get("url")
    if not isinstance(url, str) or not _is_web(url):
        # The address itself stays unsaid: there may be a secret in it.
        scope.report.problem((*path, "url"), "this is not an address that begins with http:// or https://")
        return None
    shape = entry.get("format", "json")
    if shape not in ("json", "text"):
        scope.report.problem((*path, "format"), f"{shown(shape)} is neither json nor text")
    headers = scope.pairs(entry.get("headers"), (*path, "headers"))
    if any("\n" in text or "\r" in text for pair in headers.items() for text in pair if text):
        scope.report.problem((*path, "headers"), "a header cannot have more than one line")
    timeout = _seconds(entry.get("timeout"), (*path, "timeout"), scope, TIMEOUT)
    if not 0 < timeout <= LONGEST_TIMEOUT:
        scope.report.problem((*path, "timeout"), f"expected more than nothing and at most {LONGEST_TIMEOUT:g} s")
    return Receiver(name, url, shape, {key: text or "" for key, text in headers.items()}, timeout)


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError for what is no port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable() and " " not in url


def _rule(
    name: str, given: Any, before: AlertRule | None, services: Any, path: Path, scope: Scope
) -> AlertRule | None:
    if given is False:
        return None
    entry = {} if given in (None, True) else given
    if not isinstance(entry, dict):
        scope.report.problem(path, f"{shown(given)} is neither a mapping nor false")
        return None
    kinds = [key for key in entry if key in _KINDS]
    for key in without_extensions(entry):
        if key not in _KINDS and key not in _SETTINGS:
            scope.report.key_problem((*path, key), f"there is no {key!r}{did_you_mean(key, (*_KINDS, *_SETTINGS))}")
    if len(kinds) > 1 or (not kinds and before is None):
        expected = ", ".join(_KINDS)
        scope.report.key_problem(path, f"a rule is about one of {expected}")
        return None
    rule = before if before is not None and (not kinds or kinds[0] == before.kind) else AlertRule(name, kinds[0])
    rule = replace(rule, name=name)
    if kinds:
        rule = _about(rule, entry[kinds[0]], (*path, kinds[0]), scope)
    rule = replace(
        rule,
        lasting=_seconds(entry.get("for"), (*path, "for"), scope, rule.lasting),
        within=_seconds(entry.get("within"), (*path, "within"), scope, rule.within),
    )
    return replace(rule, services=_of_services(entry.get("services"), services, (*path, "services"), scope))


def _about(rule: AlertRule, value: Any, path: Path, scope: Scope) -> AlertRule:
    if rule.kind in _SHARES:
        share = _share(value)
        if share is None:
            scope.report.problem(path, f"{shown(value)} is not a part of the limit (write it like 90%)")
        return replace(rule, above=share or 0.0)
    if rule.kind == "restarts":
        return replace(rule, above=scope.integer(value, path, 1, 1000) or 0)
    if rule.kind == "log":
        words = tuple(spelled(each) for each in (value if isinstance(value, list) else [value]) if is_scalar(each))
        if not all(words) or not words:
            scope.report.problem(path, "expected words to look for in what services write")
        return replace(rule, words=words)
    if value is not True and value is not None:
        scope.report.problem(path, f"{shown(value)} means nothing here (write {rule.kind}: true)")
    return rule


def _share(value: Any) -> float | None:
    text = value.strip() if isinstance(value, str) else ""
    try:
        found = float(text.removesuffix("%")) / 100 if text.endswith("%") else float(value)
    except (TypeError, ValueError):
        return None
    return found if 0 < found <= 1 else None


def _seconds(value: Any, path: Path, scope: Scope, default: float) -> float:
    if value is None:
        return default
    found = units.duration(value)
    if found is None or found > 86_400_000_000_000:
        scope.report.problem(path, f"{shown(value)} is not a duration of at most a day (write it like 30s or 5m)")
        return default
    return found / 1e9


def _of_services(value: Any, services: Any, path: Path, scope: Scope) -> tuple[str, ...]:
    names = scope.texts(value, path)
    for index, name in enumerate(names):
        if name not in services:
            scope.report.problem((*path, index), f"there is no service {name!r}{did_you_mean(name, services)}")
    return tuple(names)


def masked(model: dict[str, Any], mask: str) -> dict[str, Any]:
    """A model as it may be shown: an address only to its host, no header."""
    alerts = model.get(KEY)
    receivers = alerts.get("receivers") if isinstance(alerts, dict) else None
    if not isinstance(alerts, dict) or not isinstance(receivers, dict):
        return model
    return {**model, KEY: {**alerts, "receivers": {name: _shown(one, mask) for name, one in receivers.items()}}}


def _shown(receiver: Any, mask: str) -> Any:
    if isinstance(receiver, str):
        return f"{_place(receiver)}/{mask}"
    if not isinstance(receiver, dict):
        return mask
    found = {**receiver}
    if "url" in found:
        found["url"] = f"{_place(str(found['url']))}/{mask}"
    if "headers" in found:
        given = found["headers"]
        found["headers"] = dict.fromkeys(given, mask) if isinstance(given, dict) else mask
    return found


def _place(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname or ''}"
