"""What a person may do from the page: each is one request to the stack's supervisor, and has a command that does the
same."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio

from ..errors import OrchestraError
from ..stack.model import Stack
from .upstream import Upstream

LONGEST = 120.0
"""Seconds that a page waits for a result; the work itself goes on."""
MOST_REPLICAS = 200

Wish = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Deed:
    """A request, and the command line that asks for the same."""

    request: dict[str, Any]
    command: str


def deed(stack: Stack, wish: Wish) -> Deed:
    """What is meant by `{"action": …, "services": […], …}`. Raises OrchestraError for what is not understood."""
    action = str(wish.get("action"))
    services = wish.get("services") or None
    if services is not None and not isinstance(services, list):
        raise OrchestraError("services is to be a list of names", 'like ["api"]')
    named = [str(one) for one in services or ()]
    if not all(one in stack.services for one in named):
        raise OrchestraError(f"stack {stack.name} has no such service: {', '.join(named)}")
    if action not in DEEDS:
        raise OrchestraError(f"there is no action {action!r}", f"one of {', '.join(DEEDS)}")
    return DEEDS[action](stack, None if services is None else named, wish)


async def perform(upstream: Upstream, stack: Stack, wish: Wish) -> dict[str, Any]:
    """Do it and wait until it is so. Raises OrchestraError when it cannot be."""
    todo = deed(stack, wish)
    began = time.monotonic()
    with anyio.move_on_after(LONGEST) as patience:
        done = await upstream.call({**todo.request, "by": "the dashboard"})
        extra = {"killed": done["killed"]} if "killed" in done else {}
        return {"command": todo.command, "took": time.monotonic() - began, **extra}
    assert patience.cancelled_caught
    raise OrchestraError(f"still under way after {LONGEST:g} s", "it goes on; the events tell how it ends")


def _command(stack: Stack, *words: str, services: list[str] | None = None) -> str:
    return shlex.join(["orchestra", "-p", stack.name, *words, *(services or ())])


def _file_command(stack: Stack, *words: str, services: list[str] | None = None) -> str:
    files = [word for file in stack.files for word in ("-f", file)]
    return shlex.join(["orchestra", *files, *words, *(services or ())])


def _stop(stack: Stack, services: list[str] | None, _: Wish) -> Deed:
    request = {"do": "stop", "services": services, "timeout": None}
    return Deed(request, _command(stack, "stop", services=services))


def _start(stack: Stack, services: list[str] | None, _: Wish) -> Deed:
    request = {"do": "start", "services": services, "timeout": None, "until": "running"}
    return Deed(request, _command(stack, "start", services=services))


def _restart(stack: Stack, services: list[str] | None, _: Wish) -> Deed:
    request = {"do": "restart", "services": services, "timeout": None, "until": "running"}
    return Deed(request, _command(stack, "restart", services=services))


def _pause(stack: Stack, services: list[str] | None, wish: Wish) -> Deed:
    action = str(wish["action"])
    return Deed({"do": action, "services": services}, _command(stack, action, services=services))


def _kill(stack: Stack, services: list[str] | None, wish: Wish) -> Deed:
    signal = str(wish.get("signal") or "SIGKILL")
    words = ["kill"] if signal == "SIGKILL" else ["kill", "-s", signal]
    return Deed({"do": "kill", "services": services, "signal": signal}, _command(stack, *words, services=services))


def _scale(stack: Stack, services: list[str] | None, wish: Wish) -> Deed:
    number = wish.get("replicas")
    if services is None or len(services) != 1 or type(number) is not int or not 0 <= number <= MOST_REPLICAS:
        raise OrchestraError("scale takes one service and a number of replicas", f"from 0 to {MOST_REPLICAS}")
    name = services[0]
    command = _file_command(stack, "up", "-d", "--no-recreate", "--no-deps", "--scale", f"{name}={number}", name)
    return Deed(_apply(services, "never", {name: number}), command)


def _recreate(stack: Stack, services: list[str] | None, _: Wish) -> Deed:
    command = _file_command(stack, "up", "-d", "--force-recreate", "--no-deps", services=services)
    return Deed(_apply(services, "force", {}), command)


def _down(stack: Stack, _: list[str] | None, wish: Wish) -> Deed:
    volumes = bool(wish.get("volumes"))
    request = {"do": "down", "services": None, "volumes": volumes, "remove_orphans": True, "timeout": None}
    return Deed(request, _command(stack, "down", *(["-v"] if volumes else [])))


def _apply(services: list[str] | None, recreate: str, scales: dict[str, int]) -> dict[str, Any]:
    return {
        "do": "apply",
        "stack": None,
        "scales": scales,
        "services": services,
        "recreate": recreate,
        "no_deps": True,
        "no_start": False,
        "remove_orphans": False,
        "timeout": None,
        "until": "running",
    }


DEEDS: dict[str, Callable[[Stack, list[str] | None, Wish], Deed]] = {
    "start": _start,
    "stop": _stop,
    "restart": _restart,
    "kill": _kill,
    "pause": _pause,
    "unpause": _pause,
    "scale": _scale,
    "recreate": _recreate,
    "down": _down,
}
