"""Limits meet the kernel: those of a container that runs are changed, and what the kernel has no word for is told."""

from __future__ import annotations

import contextlib
import os
import resource
import stat
from collections.abc import Mapping

import anyio.to_thread

from ..errors import OrchestraError
from ..network.shaping import ensure_shapes
from ..plan.launch import changed_resources, resources_of
from ..runtime import cgroups, regain
from ..runtime.failure import StartError
from ..stack.model import BlockIO, Limits, Service
from ..values import replace
from ..wire.spec import Resources
from . import wiring
from .world import World

_IN_THE_FILE = {
    "memory.swap": "memswap_limit",
    "memory.reservation": "mem_reservation",
    "cpu.shares": "cpu_shares",
    "blockIO.weight": "blkio_config.weight",
    "blockIO.weightDevice": "blkio_config.weight_device",
}


def disks_of(service: Service) -> dict[str, tuple[int, int]]:
    """The numbers of the devices that its blkio_config names. Raises OrchestraError for what is no block device."""
    asked = service.limits.blkio
    if asked == BlockIO():
        return {}
    found: dict[str, tuple[int, int]] = {}
    rates = (asked.device_read_bps, asked.device_write_bps, asked.device_read_iops, asked.device_write_iops)
    for one in (entry for entries in (asked.weight_device, *rates) for entry in entries):
        try:
            device = os.stat(one.path)
        except OSError as error:
            raise OrchestraError(f"blkio_config of {service.name}: {one.path}: {error.strerror}") from None
        if not stat.S_ISBLK(device.st_mode):
            raise OrchestraError(f"blkio_config of {service.name}: {one.path} is no block device")
        found[one.path] = (os.major(device.st_rdev), os.minor(device.st_rdev))
    return found


async def adjust(world: World, name: str, cause: str) -> None:
    """Give a container the limits that are wanted of it, as it stands. Raises OrchestraError, with all as it was."""
    seen, target = world.seen[name], world.wanted.targets.get(name)
    if target is None:
        return  # not wanted any more since this was decided
    new = replace(seen.service, limits=target.service.limits)
    try:
        await anyio.to_thread.run_sync(_give, world, name, new, seen.alive)
    except (OrchestraError, OSError, StartError):
        with contextlib.suppress(OrchestraError, OSError, StartError):
            await anyio.to_thread.run_sync(_give, world, name, seen.service, seen.alive)
        raise
    world.note(name, service=new, trouble="", troubles=0)
    world.journal.tell("update", f"{name} has other limits: {cause}", new.name, name)
    await tell_lacking(world, name)


def _give(world: World, name: str, service: Service, alive: bool) -> None:
    if alive:
        asked = changed_resources(service.limits, disks_of(service))
        try:
            cgroups.driver().limit(world.places.cgroup(name), asked)
        except StartError as error:
            raise OrchestraError(error.what) from None
    ensure_shapes([plug for _, plug in wiring.plugs_of(world, name, service)], lift=True)


def escaped(world: World, alive: Mapping[str, tuple[int, Service]]) -> list[str]:
    """Containers whose first process is not in their cgroups. Blocks for a file each."""
    driver = cgroups.driver()
    return [
        name
        for name, (pid, service) in alive.items()
        if regain.is_out(driver, world.places.cgroup(name), pid, _resources(service))
    ]


def bring_back(world: World, name: str, pid: int, service: Service) -> None:
    """Into their cgroups, with their limits. Blocks. Raises OrchestraError and OSError."""
    try:
        regain.bring_back(cgroups.driver(), world.places.cgroup(name), pid, _resources(service))
    except StartError as error:
        raise OrchestraError(error.what) from None


def _resources(service: Service) -> Resources:
    return resources_of(service.limits, disks_of(service))


async def tell_lacking(world: World, name: str) -> None:
    """A notice for each limit that a container which has just started does not really have."""
    service = world.seen[name].service
    if service.limits == Limits() and not service.ulimits:
        return
    for notice in await anyio.to_thread.run_sync(_lacking, world, name, service):
        if notice not in world.notices:
            world.notices.append(notice)
            world.journal.tell("notice", notice, service.name, name)


def _lacking(world: World, name: str, service: Service) -> list[str]:
    driver, limits = cgroups.driver(), service.limits
    asked = resources_of(limits, disks_of(service))
    if limits.memory_swap is None:
        asked["memory"].pop("swap", None)  # only there because memory is limited
    missing = cgroups.lacking(asked, driver.held(world.places.cgroup(name)))
    notices = [f"{_IN_THE_FILE.get(key, key)} of {service.name} has no effect: the kernel cannot" for key in missing]
    weighted = limits.blkio.weight is not None or limits.blkio.weight_device
    if weighted and "blockIO.weight" not in missing and not cgroups.some_disk_weighs():
        notices.append(
            f"blkio_config.weight of {service.name} has no effect now: no disk of this machine has the scheduler bfq"
        )
    return notices + _lower_ulimits(world.pids.get(name), service)


def _lower_ulimits(pid: int | None, service: Service) -> list[str]:
    """Hard limits that were asked for higher than this machine lets anybody go."""
    notices = []
    for asked in service.ulimits:
        kind = getattr(resource, f"RLIMIT_{asked.name.upper()}", None)
        if pid is None or kind is None:
            continue
        try:
            hard = resource.prlimit(pid, kind)[1]
        except (ProcessLookupError, PermissionError):
            continue
        wanted = resource.RLIM_INFINITY if asked.hard < 0 else asked.hard
        if hard != resource.RLIM_INFINITY and (wanted == resource.RLIM_INFINITY or wanted > hard):
            instead = "unlimited" if asked.hard < 0 else asked.hard
            notices.append(
                f"ulimit {asked.name} of {service.name} is {hard} and not {instead}: "
                "raising it takes CAP_SYS_RESOURCE, which orchestra was not given here"
            )
    return notices
