"""Finding out what is there: after a start, after the keeper was replaced, after a reboot. What the book says and the
kernel denies is corrected in the book; nothing is changed in the kernel, but for pins of namespaces that live on.
"""

from __future__ import annotations

import anyio.to_thread

from ..network.inside import is_pinned
from ..network.routers import alive
from ..plan.facts import Run, Seen
from ..plan.wiring import Router
from ..runtime import cgroups, sandbox
from ..stack.model import Service
from ..values import replace
from ..wire.codec import decode
from ..wire.keeping import Child
from .link import Link
from .wiring import own_net_pin
from .world import World


def boot_id() -> str:
    """random(4): /proc/sys/kernel/random/boot_id, another one after each boot."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def oom_kills(cgroup: str) -> int:
    """How many processes of this cgroup the kernel has killed for want of memory; 0 where it is gone."""
    try:
        return cgroups.driver().oom_kills(cgroup)
    except OSError:
        return 0


async def look_around(world: World) -> None:
    """Networks, volumes and sandboxes that are still there."""
    await anyio.to_thread.run_sync(_look_around, world)


def _look_around(world: World) -> None:
    standing = {key for key, router in world.page.routers.items() if _stands(router)}
    for key in world.networks.keys() - standing:
        del world.networks[key]
    for key, network in world.wanted.networks.items():
        if key in standing and key not in world.networks:
            world.networks[key] = network  # made by a supervisor that could not write it down any more
    names = {volume.name for volume in world.wanted.volumes.values()} | world.wanted.discard_volumes
    world.look_for_volumes(names)
    for name, seen in world.seen.items():
        if seen.busy or (seen.made and not is_pinned(world.places.user_pin(name))):
            world.note(name, busy=False, made=seen.made and is_pinned(world.places.user_pin(name)))


def _stands(router: Router) -> bool:
    """An external one is joined anew: who else was there meanwhile may have had to make it anew."""
    return not router.external and is_pinned(router.pin) and alive(router)


async def ask_keeper(world: World, link: Link) -> list[Child]:
    """What runs, and what has ended while nobody listened."""
    reply, _ = await link.request({"do": "children"})
    children: list[Child] = reply["children"]
    known = {child["name"] for child in children}
    for child in children:
        _know(world, child)
        _take(world, child)
    for name, seen in list(world.seen.items()):
        if seen.run is not None and seen.run.alive and name not in known:
            # It was launched, and nobody can tell what became of it: whatever is left of it would meet its successor.
            await anyio.to_thread.run_sync(cgroups.driver().kill, world.places.cgroup(name))
            world.ended(name, replace(seen.run, ended=seen.run.started, code=None))
    return children


def _know(world: World, child: Child) -> None:
    """One that runs as it is wanted, and that its supervisor could not write down any more."""
    target = world.wanted.targets.get(child["name"])
    if target is None or child["name"] in world.seen or not child["pid"] or child["ended"] is not None:
        return
    if child["note"]["config"] == target.service.config_hash:
        made = Seen(target.service, target.replica, made=True, made_at=child["started"], oneoff=target.oneoff)
        world.seen[child["name"]] = made


def _take(world: World, child: Child) -> None:
    name, note = child["name"], child["note"]
    seen = world.seen.get(name)
    if seen is None or not child["pid"]:
        return  # without a pid it is a start that the end of a keeper cut short
    if seen.run is None or seen.run.number < child["run"]:
        # Started by a supervisor that could not write it down any more.
        service = decode(Service, note["service"]) if "service" in note else seen.service
        run = Run(child["run"], note["config"], int(note["epoch"]), child["started"])
        world.note(name, service=service)
        world.started(name, run, child["pid"])
    if child["ended"] is None:
        world.pids[name] = child["pid"]
        world.note(name, paused=cgroups.driver().frozen(child["cgroup"]))  # the kernel knows best
        _pin_again(world, name, child["pid"])
    else:
        # What has run was made, also where the supervisor that made it did not live to write that down.
        if not world.seen[name].made and is_pinned(world.places.user_pin(name)):
            world.note(name, made=True)
        world.take(child, oom_kills)


def _pin_again(world: World, name: str, pid: int) -> None:
    """A container that runs is made, whatever the book says and whoever took its pins away."""
    service = world.seen[name].service
    try:
        sandbox.pin_again(pid, world.places.user_pin(name), own_net_pin(world, name, service))
    except OSError as error:
        world.journal.tell("notice", f"{name} cannot be looked into: {error}", service.name, name)
    if not world.seen[name].made:
        world.note(name, made=True)
