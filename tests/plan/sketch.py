"""Services, targets and facts in few words, for tests of thinking."""

from __future__ import annotations

from dataclasses import replace

from orchestra.plan.facts import Facts, Run, Seen, Target, Wanted
from orchestra.stack.model import (
    Condition,
    Dependency,
    Healthcheck,
    HostRoot,
    Join,
    Network,
    Restart,
    RestartPolicy,
    Service,
    Stack,
    TcpProbe,
)

NETWORK = Network("default", "shop_default")
CHECK = Healthcheck(TcpProbe("", 80), interval=2.0, retries=3)


def service(
    name: str,
    *needs: str | Dependency,
    restart: RestartPolicy = "no",
    attempts: int | None = None,
    check: bool = False,
    config: str = "c1",
    scale: int = 1,
) -> Service:
    return Service(
        name,
        HostRoot(),
        config,
        command=("run",),
        depends_on=tuple(need if isinstance(need, Dependency) else Dependency(need) for need in needs),
        restart=Restart(restart, attempts),
        healthcheck=CHECK if check else None,
        networks=(Join("default"),),
        scale=scale,
    )


def need(
    name: str, condition: Condition = "service_healthy", required: bool = True, restart: bool = False
) -> Dependency:
    return Dependency(name, condition, required, restart)


def stack(*services: Service) -> Stack:
    return Stack("shop", "/", (), {one.name: one for one in services}, networks={"default": NETWORK})


def wanted(*services: Service, **parts: object) -> Wanted:
    targets = {f"{one.name}-{number}": Target(one, number) for one in services for number in range(1, one.scale + 1)}
    return replace(Wanted(targets, {"default": NETWORK}), **parts)  # type: ignore[arg-type]


def running(one: Service, since: float = 0.0, number: int = 1, epoch: int = 1, health: str = "") -> Seen:
    run = Run(number, one.config_hash, epoch, since)
    return Seen(one, 1, made=True, run=run, health=health or ("starting" if one.healthcheck else ""))  # type: ignore[arg-type]


def ended(one: Service, at: float, code: int = 0, since: float = 0.0, **parts: object) -> Seen:
    run = Run(1, one.config_hash, 1, since, ended=at, code=code)
    return replace(Seen(one, 1, made=True, run=run), **parts)  # type: ignore[arg-type]


def facts(*seen: Seen) -> Facts:
    return Facts({f"{one.service.name}-{one.replica}": one for one in seen}, {"default": NETWORK})
