"""`extends`: a service that starts from another one, of this file or of another file (05-services.md, extends)."""

from __future__ import annotations

import os

from orchestra.stack.assemble import Assembly, documents, filled, reading
from orchestra.stack.assemble import Source as Text
from orchestra.stack.merge import merge
from orchestra.stack.nodes import Node
from orchestra.stack.problems import Path, did_you_mean, refuse
from orchestra.stack.rebase import rebased_service

MOST_STEPS = 50


def extended(tree: Node, earlier: Node, assembly: Assembly) -> Node:
    """A tree whose services are complete; `earlier` are the files before this one."""
    services = tree.get("services")
    if services is None or not isinstance(services.value, dict) or not isinstance(tree.value, dict):
        return tree
    resolver = _Resolver(assembly, earlier)
    whole = {name: resolver.complete(name, tree, assembly.directory, ()) for name in services.value}
    return tree.with_value({**tree.value, "services": services.with_value(whole)})


class _Resolver:
    def __init__(self, assembly: Assembly, earlier: Node) -> None:
        self._assembly = assembly
        self._earlier = earlier
        self._trees: dict[str, Node] = {}

    def complete(self, name: str, tree: Node, folder: str, trail: tuple[tuple[str, str], ...]) -> Node:
        """A service with everything that it extends merged below it."""
        service = _service(tree, name)
        assert service is not None
        extends = service.get("extends")
        if extends is None or not isinstance(service.value, dict):
            return service
        path: Path = ("services", name, "extends")
        here = (tree.mark.file, name)
        if here in trail:
            walk = [each for _, each in trail[trail.index(here) :]]
            steps = ", ".join(f"{one} extends {two}" for one, two in zip(walk, [*walk[1:], walk[0]], strict=True))
            raise refuse(f"{steps}: nothing is left to start from", extends.mark, path)
        if len(trail) >= MOST_STEPS:
            raise refuse(f"more than {MOST_STEPS} services extend one another", extends.mark, path)
        other, file = _wanted(extends, path)
        base = self._base(extends, other, file, tree, folder, (*trail, here))
        own = {key: child for key, child in service.value.items() if key != "extends"}
        return merge(base, service.with_value(own), ("services", name))

    def _base(
        self, extends: Node, other: str, file: str, tree: Node, folder: str, trail: tuple[tuple[str, str], ...]
    ) -> Node:
        path: Path = ("services", trail[-1][1], "extends")
        if not file:
            origin = tree if _service(tree, other) is not None else self._earlier
            _must_have(origin, other, extends, path)
            return self.complete(other, origin, folder, trail)
        target = os.path.normpath(os.path.join(folder, file))
        if target not in self._trees:
            self._trees[target] = self._read(target, extends, path)
        origin = self._trees[target]
        _must_have(origin, other, extends, path)
        below = os.path.dirname(target)
        return rebased_service(self.complete(other, origin, below, trail), below)

    def _read(self, target: str, extends: Node, path: Path) -> Node:
        with reading(self._assembly.spell(target), extends.mark, path):
            text = self._assembly.read_text(target)
        found = filled(documents([Text(self._assembly.spell(target), text)], self._assembly.problems), self._assembly)
        merged = found[0]
        for later in found[1:]:
            merged = merge(merged, later)
        return merged


def _service(tree: Node, name: str) -> Node | None:
    services = tree.get("services")
    return services.get(name) if services else None


def _must_have(tree: Node, name: str, extends: Node, path: Path) -> None:
    if _service(tree, name) is None:
        services = tree.get("services")
        known = services.value if services and isinstance(services.value, dict) else {}
        near = did_you_mean(name, known)
        raise refuse(f"there is no service {name!r} in {tree.mark.file}{near}", extends.mark, path)


def _wanted(extends: Node, path: Path) -> tuple[str, str]:
    """The service and the file that are named; "" is this file."""
    if isinstance(extends.value, str):
        return extends.value, ""
    service, file = extends.get("service"), extends.get("file")
    if service is None or not isinstance(service.value, str):
        raise refuse("service is missing (the name of a service)", extends.mark, path)
    if file is not None and not isinstance(file.value, str):
        raise refuse("this is not a file name", file.mark, (*path, "file"))
    return service.value, str(file.value) if file else ""
