"""This stack's part in external networks: the router that all members share, and what the others have to know of us.

Note [Who answers in an external network]
Each stack has a resolver of its own there, under an address of its own on the network's bridge, and its containers
ask that one. It knows the stack's other networks as it does in any of them, and of the neighbours what they have
written down (state/externals). So a name is answered as long as the asker's own stack is taken care of, whoever else
is killed.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio.to_thread

from ..network import routers
from ..plan.wiring import Publication, Router
from ..state import externals
from ..state.externals import Member
from ..state.leases import leases
from ..wire.codec import decode, encode
from . import wiring
from .names import table_of
from .world import World


def ensure(world: World, router: Router) -> list[str]:
    """Router and our resolver's address, whoever else is at it. Blocks."""
    with externals.turn(world.places.home, router.external):
        notices = routers.ensure_router(router)
        routers.ensure_resolver(router)
        return notices


def publish(world: World, key: str) -> None:
    """What all members publish: the firewall has one list for the network. Blocks."""
    router = world.page.routers[key]
    home, name = world.places.home, router.external
    with externals.turn(home, name):
        write(world, key)
        every = externals.members(home, name)
        routers.set_publications(router, _published(every))
        routers.allow_host(router, [address for member in every for address in member.opened])


def write(world: World, key: str) -> None:
    """For the neighbours to read. Blocks, shortly."""
    member = _member(world, key)
    if world.told_neighbours.get(key) != member:
        externals.write_member(world.places.home, world.page.routers[key].external, member)
        world.told_neighbours[key] = member


def leave(world: World, router: Router) -> None:
    """Nothing of ours stays there; the last one takes the router away. Blocks."""
    home, name = world.places.home, router.external
    with externals.turn(home, name):
        externals.part(home, name, world.places.name)
        others = externals.members(home, name)
        if others:
            routers.remove_resolver(router)
            routers.set_publications(router, _published(others))
        else:
            routers.remove_router(router)


def give_up(world: World, router: Router) -> None:
    """The network is not wanted any more. Blocks."""
    leave(world, router)
    with leases(world.places.home.leases) as held:
        held.let_go(f"{world.places.name}/", router.id)


def _published(members: Sequence[Member]) -> list[Publication]:
    return [decode(Publication, one) for member in members for one in member.publications]


def _member(world: World, key: str) -> Member:
    router = world.page.routers[key]
    return Member(
        world.places.name,
        {name: tuple(addresses) for name, addresses in table_of(world, key).items()},
        tuple(encode(one) for one in wiring.publications_of(world, router)),
        tuple(wiring.opened_to_host(world, key)),
        externals.boot_id(),
    )


async def tell(world: World) -> None:
    """Write down what has changed in the networks that others are in."""
    while True:
        pulses = world.pulses
        for gone in set(world.told_neighbours) - set(world.networks):
            del world.told_neighbours[gone]
        for key in list(world.networks):
            router = world.page.routers.get(key)
            if router is None or not router.external or key in world.busy_networks:
                continue
            if world.told_neighbours.get(key) != _member(world, key):
                await anyio.to_thread.run_sync(write, world, key)
        await world.changed_since(pulses)
