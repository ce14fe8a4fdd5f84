"""Named volumes: folders below the data directory, with what is to be known of each beside its content."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import field

from .. import ours
from ..errors import OrchestraError
from ..places import Home
from ..values import dataclass
from ..wire.fits import NUMBER, fitting
from .files import ensure_folder, read_json, remove_tree, write_json
from .leases import leases
from .users import check_name, users

PROJECT = "com.docker.compose.project"
VOLUME = "com.docker.compose.volume"
"""Labels by which docker compose marks what it has made."""


@dataclass(frozen=True, slots=True)
class Named:
    name: str
    folder: str
    created: float  # epoch seconds
    labels: Mapping[str, str] = field(default_factory=dict)
    users: tuple[str, ...] = ()  # stacks


def make(home: Home, name: str, labels: Mapping[str, str]) -> None:
    """Idempotent: one that is there keeps its labels. Raises OSError, and OrchestraError for an impossible name."""
    check_name("volume", name)
    folder = home.volume(name)
    ensure_folder(os.path.dirname(folder))
    if not os.path.exists(_about(home, name)):
        write_json(_about(home, name), {"created": time.time(), "labels": dict(labels)})
    if not os.path.isdir(folder):
        os.mkdir(folder)
        os.chmod(folder, 0o755)


def listed(home: Home) -> list[Named]:
    """By name."""
    names = ours.names_in(f"{home.data}/volumes")
    with leases(home.leases) as held:
        holders = {name: users(home, held.volumes.get(name, ())) for name in names}
    return [_named(home, name, holders[name]) for name in names if os.path.isdir(home.volume(name))]


def _named(home: Home, name: str, holders: list[str]) -> Named:
    folder = home.volume(name)
    about = read_json(_about(home, name), lambda raw: fitting(raw, {"created": NUMBER, "labels": {str: str}})) or {}
    created = about.get("created", os.stat(folder).st_ctime)
    return Named(name, folder, float(created), about.get("labels", {}), tuple(holders))


def remove(home: Home, name: str) -> None:
    """Raises OrchestraError for one that is not there or in use."""
    with leases(home.leases) as held:  # nobody begins to use it meanwhile
        if not os.path.isdir(home.volume(name)) or name in (".", ".."):
            raise OrchestraError(f"no such volume: {name}", "orchestra volume ls lists them")
        check_name("volume", name)
        if using := users(home, held.volumes.get(name, ())):
            who = " and ".join(using)
            raise OrchestraError(f"cannot remove volume {name}: it is used by {who}", f"orchestra -p {using[0]} down")
        discard(home, name)
        held.volumes.pop(name, None)


def discard(home: Home, name: str) -> None:
    """A volume and all that it holds, whether or not there is any of it left. Raises OSError for what stays."""
    folder = os.path.dirname(home.volume(name))
    while os.path.lexists(folder):
        with contextlib.suppress(FileNotFoundError):  # somebody else removes it as well
            remove_tree(folder)


def refuse_if_used(home: Home, stack: str, names: Iterable[str]) -> None:
    """Raises OrchestraError where other stacks use volumes that a stack is to remove."""
    with leases(home.leases) as held:
        for name in sorted(names):
            others = [each for each in users(home, held.volumes.get(name, ())) if each != stack]
            if others:
                who = " and ".join(others)
                raise OrchestraError(f"cannot remove volume {name}: it is used by {who}", "leave --volumes out")


def size_of(folder: str) -> int:
    """Bytes on disk."""
    total = 0
    for path, _, files in os.walk(folder):
        for file in files:
            try:
                total += os.lstat(f"{path}/{file}").st_blocks * 512
            except OSError:
                continue
    return total


def _about(home: Home, name: str) -> str:
    return f"{os.path.dirname(home.volume(name))}/volume.json"
