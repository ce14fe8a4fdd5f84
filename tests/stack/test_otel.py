"""`x-otel` puts OpenTelemetry's variables into services that ask for them, and never over their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestra.plan.launch import Ground, launch_spec

TEXT = """
x-otel: {endpoint: "http://collector:4318", attributes: {team: "a,b"}}
services:
  plain: {rootfs: host}
  own:
    rootfs: host
    environment: {OTEL_SERVICE_NAME: mine, OTEL_RESOURCE_ATTRIBUTES: "a=b"}
  none: {rootfs: host, x-otel: false}
  other:
    rootfs: host
    x-otel: {endpoint: "https://elsewhere", protocol: grpc, attributes: {team: c}}
"""
GROUND = Ground((), (), "/bin", "/u", "/w", "/f", "/user", "/net", "c/g", "", 300000, {}, "box")


def asked(services: Any) -> dict[str, dict[str, str]]:
    return {
        name: {key.removeprefix("OTEL_"): text for key, text in one.environment.items() if key.startswith("OTEL_")}
        for name, one in services.items()
    }


def test_services_get_the_variables(loaded: Callable[..., Any]) -> None:
    """Address, name and attributes; what a service says itself wins; `false` is none at all."""
    found = asked(loaded(TEXT).stack.services)
    assert found["plain"] == {
        "EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "SERVICE_NAME": "plain",
        "RESOURCE_ATTRIBUTES": "service.namespace=shop,service.instance.id={container},team=a%2Cb",
    }
    assert (found["own"]["SERVICE_NAME"], found["own"]["RESOURCE_ATTRIBUTES"]) == ("mine", "a=b")
    assert found["none"] == {}
    assert found["other"]["EXPORTER_OTLP_ENDPOINT"] == "https://elsewhere"
    assert found["other"]["EXPORTER_OTLP_PROTOCOL"] == "grpc"
    assert found["other"]["RESOURCE_ATTRIBUTES"].endswith("team=c")


def test_a_container_is_told_by_its_name(loaded: Callable[..., Any]) -> None:
    """The instance is the container."""
    service = loaded(TEXT).stack.services["plain"]
    env = launch_spec("shop-plain-2", service, GROUND, {})["process"]["env"]
    assert next(entry for entry in env if "ATTRIBUTES" in entry).split(",")[1] == "service.instance.id=shop-plain-2"


def test_without_it_there_is_none(loaded: Callable[..., Any]) -> None:
    """Nobody is observed who did not ask."""
    assert asked(loaded("services: {a: {rootfs: host}}").stack.services) == {"a": {}}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("collector:4318", "is not an address"),
        ("{endpont: http://x}", "there is no 'endpont' (did you mean 'endpoint'?)"),
        ("{endpoint: http://x, protocol: http}", "is not one of grpc, http/protobuf, http/json"),
        ("{endpoint: http://x, attributes: [a]}", "attributes are a mapping"),
        ("[]", "is neither an address nor a mapping"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(wrong: Callable[..., list[str]], value: str, said: str) -> None:
    """As for every other key."""
    (line,) = wrong(f"x-otel: {value}\nservices: {{a: {{rootfs: host}}}}\n")
    assert "stack.yml:1:" in line
    assert said in line


def test_an_endpoint_is_needed(wrong: Callable[..., list[str]]) -> None:
    """At the service or above it."""
    (line,) = wrong("services: {a: {rootfs: host, x-otel: {attributes: {a: b}}}}\n")
    assert "services.a.x-otel: no endpoint is given" in line
