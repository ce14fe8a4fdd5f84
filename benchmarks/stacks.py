"""The measured stacks, as Compose documents. `base` is what each candidate takes its root file system from."""

from __future__ import annotations

from typing import Any

MARK = "orchestra-benchmark"
PORT = 18080
Document = dict[str, Any]


def _stack(services: dict[str, Any], base: Document) -> Document:
    return {"name": "bench", "services": {name: {**base, **service} for name, service in services.items()}}


def idle(number: int, base: Document) -> Document:
    """Services that wait: what is measured is the engine."""
    return _stack({f"s{n}": {"command": ["/service", "pause", MARK]} for n in range(number)}, base)


def _checked() -> dict[str, Any]:
    # Probed by a process inside every 100 ms: no engine gets by without one, none may wait longer.
    check = {"test": ["CMD", "/service", "probe", "8080"], "interval": "100ms", "timeout": "5s", "retries": 100}
    return {"command": ["/service", "http", "8080", MARK], "healthcheck": check}


def checked(number: int, base: Document) -> Document:
    return _stack({f"s{n}": _checked() for n in range(number)}, base)


def chain(length: int, base: Document) -> Document:
    """Each starts when the one before it is healthy."""
    services = {f"s{n}": _checked() for n in range(length)}
    for n in range(1, length):
        services[f"s{n}"]["depends_on"] = {f"s{n - 1}": {"condition": "service_healthy"}}
    return _stack(services, base)


def web(base: Document) -> Document:
    """One that has to be there always, on a published port."""
    command = ["/service", "http", "8080", MARK]
    return _stack({"web": {"command": command, "restart": "always", "ports": [f"127.0.0.1:{PORT}:8080"]}}, base)
