"""A later file over an earlier one, and a service over the one that it extends.

Compose Specification, 13-merge.md: mappings merge deep, scalars replace, lists append, and a table of keys has rules
of its own. `!reset` takes a key away, `!override` replaces without merging. What has to be unique after its short
form is read (ports, mounts, secrets) is made so by `ports`, `mounts` and `grants`, where that form is read.
"""

from __future__ import annotations

from collections.abc import Callable

from orchestra.stack.nodes import Node
from orchestra.stack.problems import Path, refuse
from orchestra.stack.scalars import spelled

Rule = Callable[[Node, Node, Path], Node]


def merge(base: Node, over: Node, path: Path = ()) -> Node:
    """`over` on top of `base`; markers are obeyed and gone afterwards."""
    if over.tag == "override":
        return settle(over)
    rule = _rule(path)
    if rule is not None:
        return rule(base, over, path)
    if over.value is None:
        return base
    if isinstance(base.value, dict) and isinstance(over.value, dict):
        return _mappings(base, over, path)
    if isinstance(base.value, list) and isinstance(over.value, list):
        return _lists(base, over, path)
    if base.value is not None and _kind(base) != _kind(over):
        raise refuse(f"this {_kind(over)} cannot go over the {_kind(base)} in {base.mark}", over.mark, path)
    return settle(over)


def settle(node: Node) -> Node:
    """A tree with its markers obeyed: what is reset is gone."""
    if isinstance(node.value, dict):
        kept = {key: settle(child) for key, child in node.value.items() if child.tag != "reset"}
        return Node(kept, node.mark, "", node.keys)
    if isinstance(node.value, list):
        return Node([settle(child) for child in node.value if child.tag != "reset"], node.mark)
    return Node(node.value, node.mark)


def _kind(node: Node) -> str:
    return "mapping" if isinstance(node.value, dict) else "list" if isinstance(node.value, list) else "value"


def _mappings(base: Node, over: Node, path: Path) -> Node:
    assert isinstance(base.value, dict)
    assert isinstance(over.value, dict)
    merged, keys = dict(base.value), dict(base.keys)
    for key, child in over.value.items():
        if child.tag == "reset":
            merged.pop(key, None)
            continue
        merged[key] = merge(merged[key], child, (*path, key)) if key in merged else settle(child)
        keys[key] = over.keys.get(key, child.mark)
    return Node(merged, over.mark, "", keys)


def _lists(base: Node, over: Node, path: Path) -> Node:
    assert isinstance(base.value, list)
    assert isinstance(over.value, list)
    there = {child.value for child in base.value if isinstance(child.value, str | int | float)}
    added = [
        settle(child)
        for child in over.value
        if child.tag != "reset" and not (isinstance(child.value, str | int | float) and child.value in there)
    ]
    return Node([*base.value, *added], over.mark)


def _replace(base: Node, over: Node, path: Path) -> Node:
    return settle(over)


def _by_key(base: Node, over: Node, path: Path) -> Node:
    """`KEY=value` lists and mappings become one mapping."""
    return _plain(as_mapping(base), as_mapping(over), path)


def _named(entry: Callable[[Node], Node]) -> Rule:
    """Lists of names and mappings by name become one mapping."""

    def rule(base: Node, over: Node, path: Path) -> Node:
        return _plain(_names_as_mapping(base, entry), _names_as_mapping(over, entry), path)

    return rule


def _plain(base: Node, over: Node, path: Path) -> Node:
    if isinstance(base.value, dict) and isinstance(over.value, dict):
        return _mappings(base, over, path)
    return base if over.value is None else settle(over)


def as_mapping(node: Node) -> Node:
    """`[A=1, B]` as `{A: 1, B: null}`; anything else as it is."""
    if not isinstance(node.value, list) or not all(isinstance(child.value, str) for child in node.value):
        return node
    entries: dict[str, Node] = {}
    for child in node.value:
        key, sign, value = str(child.value).partition("=")
        entries[key] = Node(value if sign else None, child.mark, child.tag)
    return Node(entries, node.mark, node.tag, {key: child.mark for key, child in entries.items()})


def _names_as_mapping(node: Node, entry: Callable[[Node], Node]) -> Node:
    """`[a, b]` as a mapping of what each name alone stands for; anything else as it is."""
    if not isinstance(node.value, list) or not all(isinstance(child.value, str) for child in node.value):
        return node
    entries = {str(child.value): entry(child) for child in node.value}
    return Node(entries, node.mark, node.tag, {key: child.mark for key, child in entries.items()})


def _nothing(name: Node) -> Node:
    return Node(None, name.mark, name.tag)


def _started(name: Node) -> Node:
    words = {"condition": Node("service_started", name.mark), "required": Node(True, name.mark)}
    return Node(dict(words), name.mark, name.tag, dict.fromkeys(words, name.mark))


def _as_list(base: Node, over: Node, path: Path) -> Node:
    """A single value is a list of one."""
    return _plain_lists(_listed(base), _listed(over), path)


def _listed(node: Node) -> Node:
    if node.value is None or isinstance(node.value, list):
        return node
    return Node([Node(node.value, node.mark, "", node.keys)], node.mark, node.tag)


def _plain_lists(base: Node, over: Node, path: Path) -> Node:
    if isinstance(base.value, list) and isinstance(over.value, list):
        return _lists(base, over, path)
    return base if over.value is None else settle(over)


def _hosts(base: Node, over: Node, path: Path) -> Node:
    """Addresses are added; none that was there before is dropped."""
    return _plain_lists(_host_list(base), _host_list(over), path)


def _host_list(node: Node) -> Node:
    if not isinstance(node.value, dict):
        return node
    items = []
    for name, child in node.value.items():
        for address in child.value if isinstance(child.value, list) else [child]:
            if isinstance(address.value, dict | list):
                return node
            items.append(Node(f"{name}={spelled(address.value)}", address.mark))
    return Node(list(items), node.mark, node.tag)


def _logging(base: Node, over: Node, path: Path) -> Node:
    """Another driver's options mean nothing to this one."""
    drivers = [side.get("driver") for side in (base, over)]
    if drivers[0] and drivers[1] and drivers[0].value != drivers[1].value:
        return settle(over)
    return _plain(base, over, path)


def _build(base: Node, over: Node, path: Path) -> Node:
    return _plain(_build_mapping(base), _build_mapping(over), path)


def _build_mapping(node: Node) -> Node:
    if not isinstance(node.value, str):
        return node
    return Node({"context": Node(node.value, node.mark)}, node.mark, node.tag, {"context": node.mark})


def _subnets(base: Node, over: Node, path: Path) -> Node:
    """Entries of `ipam.config` with the same subnet are one."""
    if not isinstance(base.value, list) or not isinstance(over.value, list):
        return base if over.value is None else settle(over)
    merged = list(base.value)
    for child in over.value:
        subnet = child.get("subnet")
        for index, earlier in enumerate(merged):
            known = earlier.get("subnet")
            if subnet and known and subnet.value == known.value:
                merged[index] = _plain(earlier, child, (*path, index))
                break
        else:
            merged.append(settle(child))
    return Node(list(merged), over.mark)


_SERVICE_RULES: dict[tuple[str, ...], Rule] = {
    ("annotations",): _by_key,
    ("build",): _build,
    ("build", "args"): _by_key,
    ("build", "labels"): _by_key,
    ("command",): _replace,
    ("depends_on",): _named(_started),
    ("deploy", "labels"): _by_key,
    ("dns",): _as_list,
    ("dns_search",): _as_list,
    ("entrypoint",): _replace,
    ("env_file",): _as_list,
    ("environment",): _by_key,
    ("extra_hosts",): _hosts,
    ("healthcheck", "test"): _replace,
    ("label_file",): _as_list,
    ("labels",): _by_key,
    ("logging",): _logging,
    ("networks",): _named(_nothing),
    ("sysctls",): _by_key,
    ("tmpfs",): _as_list,
}


def _rule(path: Path) -> Rule | None:
    if len(path) < 3:
        return None
    section, inner = path[0], tuple(str(step) for step in path[2:])
    if section == "services":
        return _plain if inner[:1] == ("ulimits",) and len(inner) == 2 else _SERVICE_RULES.get(inner)
    if section == "networks" and inner == ("ipam", "config"):
        return _subnets
    if section in ("networks", "volumes", "secrets", "configs") and inner == ("labels",):
        return _by_key
    return None
