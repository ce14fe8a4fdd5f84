"""Relative paths of a tree as absolute ones: what another file says is meant from that file's folder."""

from __future__ import annotations

from collections.abc import Callable

from orchestra.stack.nodes import Node
from orchestra.stack.scope import normal

_Change = Callable[[str], str]


def rebased_service(service: Node, folder: str) -> Node:
    """A service whose files are found from anywhere."""

    def absolute(path: str) -> str:
        return path if path.startswith(("/", "~")) or not path else normal(f"{folder}/{path}")

    def bind(text: str) -> str:
        source, colon, rest = text.partition(":")
        return f"{absolute(source)}{colon}{rest}" if source.startswith(".") and colon else text

    node = _at(service, "env_file", lambda files: _files(files, absolute))
    node = _at(node, "label_file", lambda files: _files(files, absolute))
    node = _at(node, "volumes", lambda mounts: _mounts(mounts, bind, absolute))
    node = _at(node, "uses", lambda uses: _at(uses, "stack", lambda stack: _text(stack, absolute)))
    node = _at(node, "rootfs", lambda root: root if root.value == "host" else _text(root, absolute))
    return _at(node, "build", lambda build: _build(build, absolute))


def rebased_project(tree: Node, folder: str) -> Node:
    """A whole project whose files are found from anywhere."""

    def absolute(path: str) -> str:
        return path if path.startswith(("/", "~")) else normal(f"{folder}/{path}")

    def files(entries: Node) -> Node:
        return _each(entries, lambda entry: _at(entry, "file", lambda file: _text(file, absolute)))

    node = _at(tree, "services", lambda services: _each(services, lambda each: rebased_service(each, folder)))
    return _at(_at(node, "secrets", files), "configs", files)


def _at(node: Node, key: str, change: Callable[[Node], Node]) -> Node:
    child = node.get(key)
    if child is None or not isinstance(node.value, dict):
        return node
    return node.with_value({**node.value, key: change(child)})


def _each(node: Node, change: Callable[[Node], Node]) -> Node:
    if isinstance(node.value, dict):
        return node.with_value({key: change(child) for key, child in node.value.items()})
    if isinstance(node.value, list):
        return node.with_value([change(child) for child in node.value])
    return node


def _text(node: Node, change: _Change) -> Node:
    return node.with_value(change(node.value)) if isinstance(node.value, str) else node


def _files(node: Node, absolute: _Change) -> Node:
    """A name, a list of names, or a list of mappings with `path`."""
    if isinstance(node.value, str):
        return _text(node, absolute)
    return _each(node, lambda entry: _text(_at(entry, "path", lambda path: _text(path, absolute)), absolute))


def _mounts(node: Node, bind: _Change, absolute: _Change) -> Node:
    def long(mount: Node) -> Node:
        kind = mount.get("type")
        if kind is None or kind.value != "bind":
            return _text(mount, bind)
        return _at(mount, "source", lambda source: _text(source, absolute))

    return _each(node, long) if isinstance(node.value, list) else node


def _build(node: Node, absolute: _Change) -> Node:
    return (
        _text(node, absolute) if isinstance(node.value, str) else _at(node, "context", lambda c: _text(c, absolute))
    )
