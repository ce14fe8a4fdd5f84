"""YAML text in, nodes with places out; and values as YAML text. The only importer of yaml.

Events come from libyaml; the tree is built here, because the stock constructors know YAML 1.1 words, drop places and
duplicate keys, and expand alias bombs. A file is bounded in bytes, in depth and in nodes after its aliases.
"""

from __future__ import annotations

from typing import Any

import yaml

from orchestra.stack.nodes import Node, Tag
from orchestra.stack.problems import Mark, Problem, Problems, refuse
from orchestra.stack.scalars import spelled, word
from orchestra.wire.terminal import lines

# The same events from libyaml, where PyYAML was built with it, and from Python else.
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_BYTES = 4 * 1024 * 1024
MAX_NODES = 100_000
MAX_DEPTH = 64

_CORE = "tag:yaml.org,2002:"
_MERGE = "<<"


def read(text: str, file: str, found: list[Problem] | None = None) -> list[Node]:
    """Every document of a file, empty ones left out.

    What can be read past (a key that is there twice) goes to `found`, so that more can be told in one go; the rest,
    and without `found` everything, is raised.
    """
    if len(text) > MAX_BYTES:
        raise refuse(f"the file is larger than {MAX_BYTES >> 20} MiB", Mark(file, 1, 1))
    reader = _Reader(text, file)
    try:
        documents = reader.documents()
    except yaml.YAMLError as error:
        raise reader.syntax(error) from None
    if reader.problems and found is None:
        raise Problems(reader.problems)
    if found is not None:
        found.extend(reader.problems)
    return documents


class _Reader:
    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._text = text
        self._anchors: dict[str, Node | None] = {}

    def documents(self) -> list[Node]:
        self._parser = _PARSER(self._text)
        found: list[Node] = []
        while True:
            event = self._parser.get_event()
            if isinstance(event, yaml.StreamEndEvent):
                return found
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors = {}
                node = self._node(self._parser.get_event(), 1)
                if node.value is not None:
                    found.append(node)

    def _node(self, event: Any, depth: int) -> Node:
        mark = self._mark(event)
        if isinstance(event, yaml.AliasEvent):
            node = self._alias(str(event.anchor), mark)
        else:
            if event.anchor is not None:
                self._anchors[event.anchor] = None
            if depth > MAX_DEPTH:
                raise refuse(f"nested deeper than {MAX_DEPTH} levels", mark)
            node = self._fresh(event, mark, depth)
            if event.anchor is not None:
                self._anchors[event.anchor] = node
        return self._within_budget(node, mark, depth)

    def _within_budget(self, node: Node, mark: Mark, depth: int) -> Node:
        if node.size > MAX_NODES:
            raise refuse(f"more than {MAX_NODES} values once its aliases are filled in", mark)
        if node.height + depth > MAX_DEPTH + 1:
            raise refuse(f"nested deeper than {MAX_DEPTH} levels once its aliases are filled in", mark)
        return node

    def _alias(self, anchor: str, mark: Mark) -> Node:
        if anchor not in self._anchors:
            raise refuse(f"alias *{anchor} has no anchor &{anchor} before it", mark)
        node = self._anchors[anchor]
        if node is None:
            raise refuse(f"alias *{anchor} contains itself", mark)
        return node

    def _fresh(self, event: Any, mark: Mark, depth: int) -> Node:
        tag: Tag = {"!reset": "reset", "!override": "override"}.get(event.tag, "")  # type: ignore[assignment]
        if isinstance(event, yaml.ScalarEvent):
            if "\0" in event.value:
                # YAML can spell it ("\0"), but no argument, variable or path of Linux can hold it.
                self.problems.append(Problem(mark, (), "a NUL byte cannot be part of anything here"))
            plain = event.implicit[0] or (tag != "" and not event.style)
            return Node(self._scalar(event, plain, mark), mark, tag)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(mark, tag, depth)
        return self._mapping(mark, tag, depth)

    def _scalar(self, event: Any, plain: bool, mark: Mark) -> Any:
        if plain:
            return word(event.value)
        if event.tag is None or not event.tag.startswith(_CORE):
            return event.value
        kind, value = event.tag.removeprefix(_CORE), word(event.value)
        if kind == "str":
            return event.value
        if kind == "float" and isinstance(value, int):
            return float(value)
        fitting = {"int": int, "float": float, "bool": bool, "null": type(None)}.get(kind, str)
        if type(value) is not fitting:
            self.problems.append(Problem(mark, (), f"{event.value!r} is not a !!{kind}"))
        return value

    def _sequence(self, mark: Mark, tag: Tag, depth: int) -> Node:
        items: list[Node] = []
        node = Node(items, mark, tag)
        while not isinstance(event := self._parser.get_event(), yaml.SequenceEndEvent):
            self._add(node, self._node(event, depth + 1), mark)
            items.append(self._last)
        return node

    def _add(self, node: Node, child: Node, mark: Mark) -> None:
        node.size += child.size
        node.height = max(node.height, child.height + 1)
        if node.size > MAX_NODES:
            raise refuse(f"more than {MAX_NODES} values once its aliases are filled in", mark)
        self._last = child

    def _mapping(self, mark: Mark, tag: Tag, depth: int) -> Node:
        entries: dict[str, Node] = {}
        node = Node(entries, mark, tag)
        merged: list[Node] = []
        while not isinstance(event := self._parser.get_event(), yaml.MappingEndEvent):
            at = self._mark(event)
            merging = isinstance(event, yaml.ScalarEvent) and event.value == _MERGE and not event.style
            key = self._key(event, at, depth)
            child = self._node(self._parser.get_event(), depth + 1)
            if merging:
                merged.extend(self._merge_sources(child, at))
            elif key is None:
                continue
            elif key in entries:
                first = node.keys[key]
                self.problems.append(
                    Problem(at, (), f"key {key!r} is there twice, first in line {first.line} (keep one of them)")
                )
            else:
                self._add(node, child, mark)
                entries[key] = child
                node.keys[key] = at
        self._merge(node, merged, mark)
        return node

    def _merge_sources(self, source: Node, at: Mark) -> list[Node]:
        sources = source.value if isinstance(source.value, list) else [source]
        if not all(isinstance(each.value, dict) for each in sources):
            self.problems.append(Problem(at, (), "<< takes a mapping or a list of mappings"))
            return []
        return sources

    def _merge(self, node: Node, sources: list[Node], mark: Mark) -> None:
        assert isinstance(node.value, dict)
        for source in sources:
            assert isinstance(source.value, dict)
            for key, child in source.value.items():
                if key not in node.value:
                    self._add(node, child, mark)
                    node.value[key] = child
                    node.keys[key] = source.keys[key]

    def _key(self, event: Any, at: Mark, depth: int) -> str | None:
        node = self._node(event, depth + 1)
        if isinstance(node.value, str):
            return node.value
        shown = "this" if isinstance(node.value, list | dict) else spelled(node.value) or "nothing"
        self.problems.append(Problem(at, (), f"key {shown} is not a string (write it in quotes)"))
        return None

    def _mark(self, event: Any) -> Mark:
        start = event.start_mark
        return Mark(self.file, start.line + 1, start.column + 1)

    def syntax(self, error: yaml.YAMLError) -> Problems:
        """libyaml's complaint with the place that it is about."""
        at = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        mark = Mark(self.file, at.line + 1, at.column + 1) if at else Mark(self.file, 1, 1)
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        return refuse(f"not YAML: {what}", mark)


def write(value: Any) -> str:
    """YAML that `read` reads back as the same value; what no terminal may see is spelled (see `_style`)."""
    return lines(str(yaml.dump(value, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=1000)))


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar(f"{_CORE}str", data, _style(data))


def _style(text: str) -> str | None:
    if not text.replace("\n", "").isprintable():
        return '"'
    # PyYAML knows the words of YAML 1.1; what 1.2 takes for a number has to be quoted as well.
    return "'" if not isinstance(word(text), str) else "|" if "\n" in text else None


_Dumper.add_representer(str, _Dumper.text)
