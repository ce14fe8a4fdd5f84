"""`include`: other files as projects of their own, with their own folder and `.env` (14-include.md)."""

from __future__ import annotations

import os

from orchestra.stack import dotenv, process
from orchestra.stack.assemble import Assembly, Source, assemble, documents, reading
from orchestra.stack.nodes import Node
from orchestra.stack.problems import Path, Problems, refuse
from orchestra.stack.rebase import rebased_project
from orchestra.stack.scope import Report, Scope
from orchestra.values import replace

MOST_INCLUDED = 200
_SECTIONS = ("services", "networks", "volumes", "secrets", "configs")


def included(tree: Node, assembly: Assembly) -> Node:
    """A tree with the resources of what it includes beside its own."""
    entries = tree.get("include")
    assert entries is not None
    assert isinstance(tree.value, dict)
    own = tree.with_value({key: child for key, child in tree.value.items() if key != "include"})
    if not isinstance(entries.value, list):
        raise refuse("include takes a list of files", entries.mark, ("include",))
    for index, entry in enumerate(entries.value):
        own = _joined(own, _project(entry, assembly, ("include", index)))
    return own


def _project(entry: Node, assembly: Assembly, path: Path) -> Node:
    assembly.included.append(entry)
    if len(assembly.included) > MOST_INCLUDED:  # ten files that include each other twice are a thousand
        raise refuse(f"more than {MOST_INCLUDED} files are included", entry.mark, path)
    names = _texts(entry if isinstance(entry.value, str) else entry.get("path"), entry, path)
    if not names:
        raise refuse("path is missing (the file to include)", entry.mark, path)
    for name in names:
        if "://" in name or name.startswith("git@"):
            raise refuse(f"{name} is not on this machine (download it, and include the file)", entry.mark, path)
    files = [os.path.normpath(os.path.join(assembly.directory, name)) for name in names]
    spelled = [assembly.spell(file) for file in files]
    trail = (*assembly.trail, entry.mark.file)
    for name in spelled:
        if name in trail:
            raise refuse(f"{' includes '.join((*trail, name))}: there is no end to it", entry.mark, path)
    folders = _texts(entry.get("project_directory"), entry, path)
    folder = os.path.normpath(os.path.join(assembly.directory, folders[0])) if folders else os.path.dirname(files[0])
    own = _variables(_texts(entry.get("env_file"), entry, path), folder, entry, assembly, path)
    inner = replace(assembly, variables={**own, **assembly.variables}, directory=folder, trail=trail)
    texts = []
    for file, name in zip(files, spelled, strict=True):
        with reading(name, entry.mark, path):
            texts.append(Source(name, assembly.read_text(file)))
    return _with_own_variables(rebased_project(assemble(documents(texts, inner.problems), inner), folder), own, inner)


def _texts(node: Node | None, entry: Node, path: Path) -> list[str]:
    if node is None:
        return []
    items = node.value if isinstance(node.value, list) else [node]
    texts = [item.value for item in items if isinstance(item.value, str)]
    if len(texts) != len(items):
        raise refuse("expected a file name or a list of them", entry.mark, path)
    return texts


def _variables(names: list[str], folder: str, entry: Node, assembly: Assembly, path: Path) -> dict[str, str]:
    """The project's own `.env`, or the files that are named instead."""
    found: dict[str, str] = {}
    for name in names:
        file = os.path.normpath(os.path.join(assembly.directory, name))
        with reading(assembly.spell(file), entry.mark, path):
            text = assembly.read_text(file)
        found.update(dotenv.parse(text, assembly.spell(file), {**found, **assembly.variables}))
    if names:
        return found
    file = f"{folder}/.env"
    try:
        return dotenv.parse(assembly.read_text(file), assembly.spell(file), assembly.variables)
    except FileNotFoundError:
        return {}


def _with_own_variables(tree: Node, own: dict[str, str], inner: Assembly) -> Node:
    """What services take from the included project's `.env` is settled here: nobody else knows that file later."""
    services = tree.get("services")
    if not own or services is None or not isinstance(services.value, dict) or not isinstance(tree.value, dict):
        return tree
    report = Report(tree)
    scope = Scope(report, inner.directory, inner.variables.get("HOME", "/"), inner.variables, inner.read_text)
    whole = {name: _settled(name, service, scope) for name, service in services.value.items()}
    if report.problems:
        raise Problems(report.problems)
    return tree.with_value({**tree.value, "services": services.with_value(dict(whole))})


def _settled(name: str, service: Node, scope: Scope) -> Node:
    """`env_file` and bare keys of `environment` as plain values."""
    given = service.get("environment") or service.get("env_file")
    if given is None or not isinstance(service.value, dict):
        return service
    values = process.environment(service.plain(), ("services", name), scope)
    keys = dict.fromkeys(values, given.mark)
    environment = Node({key: Node(value, given.mark) for key, value in values.items()}, given.mark, "", keys)
    kept = {key: child for key, child in service.value.items() if key != "env_file"}
    return service.with_value({**kept, "environment": environment})


def _joined(tree: Node, other: Node) -> Node:
    """Both side by side; the same name for two different things is refused."""
    assert isinstance(tree.value, dict)
    joined, keys = dict(tree.value), dict(tree.keys)
    for section in _SECTIONS:
        theirs = other.get(section)
        if theirs is None or not isinstance(theirs.value, dict):
            continue
        ours = joined.get(section)
        mine = dict(ours.value) if ours and isinstance(ours.value, dict) else {}
        marks = dict(ours.keys) if ours else {}
        for name, child in theirs.value.items():
            if name in mine and mine[name].plain() != child.plain():
                what = f"{name} is also in {child.mark.file}, which this file includes, and differs"
                raise refuse(what, marks.get(name, tree.mark), (section, name))
            mine.setdefault(name, child)
            marks.setdefault(name, theirs.keys.get(name, child.mark))
        joined[section] = Node(mine, ours.mark if ours else theirs.mark, "", marks)
        keys.setdefault(section, theirs.mark)
    return Node(joined, tree.mark, tree.tag, keys)
