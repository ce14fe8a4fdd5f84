"""`x-otel` (ours): tells services where traces, metrics and logs go, in the variables of OpenTelemetry's own
specification (opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables, …/protocol/exporter).

    x-otel: http://collector:4318
    x-otel: {endpoint: "http://collector:4318", protocol: http/protobuf, attributes: {deployment.environment: dev}}

At the top level it is for every service, at a service for that one (`x-otel: false` for none), where it adds to what
the top level says. A variable that the service sets itself wins. `{container}` in the attributes becomes the name of
the container when it starts (`plan/launch`).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from orchestra.stack.problems import Path, did_you_mean
from orchestra.stack.scalars import spelled
from orchestra.stack.scope import Scope, is_scalar, shown

KEY = "x-otel"
ATTRIBUTES = "OTEL_RESOURCE_ATTRIBUTES"
_PROTOCOLS = ("grpc", "http/protobuf", "http/json")
_KEYS = ("endpoint", "protocol", "attributes")


def environment(stack: str, service: str, above: Any, own: Any, path: Path, scope: Scope) -> dict[str, str]:
    """The variables for one service; empty where it is not asked for. `above` is the top level's, `own` its own."""
    if own is False or (own is None and above in (None, False)):
        return {}
    asked = {**_asked(above, (KEY,), scope), **_asked(own, (*path, KEY), scope)}
    endpoint = asked.get("endpoint")
    if endpoint is None:
        if own is not None:
            scope.report.key_problem(
                (*path, KEY), 'no endpoint is given (write it like x-otel: "http://collector:4318")'
            )
        return {}
    attributes = {"service.namespace": stack, "service.instance.id": "{container}", **_merged(above, own)}
    found = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_SERVICE_NAME": service,
        ATTRIBUTES: ",".join(f"{key}={_encoded(value)}" for key, value in attributes.items()),
    }
    if "protocol" in asked:
        found["OTEL_EXPORTER_OTLP_PROTOCOL"] = asked["protocol"]
    return found


def _asked(value: Any, path: Path, scope: Scope) -> dict[str, str]:
    if value in (None, False):
        return {}
    if isinstance(value, str):
        value = {"endpoint": value}
    if not isinstance(value, dict):
        scope.report.problem(path, f"{shown(value)} is neither an address nor a mapping of {', '.join(_KEYS)}")
        return {}
    found: dict[str, str] = {}
    for key, entry in value.items():
        at = (*path, key)
        if key not in _KEYS:
            scope.report.key_problem(at, f"there is no {key!r}{did_you_mean(key, _KEYS)}")
        elif key == "endpoint":
            if isinstance(entry, str) and entry.startswith(("http://", "https://")):
                found[key] = entry
            else:
                scope.report.problem(at, f"{shown(entry)} is not an address (write it like http://collector:4318)")
        elif key == "protocol":
            if entry in _PROTOCOLS:
                found[key] = entry
            else:
                scope.report.problem(at, f"{shown(entry)} is not one of {', '.join(_PROTOCOLS)}")
        elif not isinstance(entry, dict) or not all(is_scalar(each) for each in entry.values()):
            scope.report.problem(at, "attributes are a mapping of names to texts")
    return found


def _merged(*values: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in values:
        given = value.get("attributes") if isinstance(value, dict) else None
        if isinstance(given, dict):
            found.update({key: spelled(each) for key, each in given.items() if is_scalar(each)})
    return found


def _encoded(text: str) -> str:
    """Commas, equals signs and the like by percent, as W3C Baggage has it."""
    return quote(text, safe="!#$&'()*+-./:<>?@[]^_`{|}~ ")
