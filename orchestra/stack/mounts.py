"""`volumes` and `tmpfs` of a service, short and long form (Compose Specification, 05-services.md, volumes)."""

from __future__ import annotations

import re
from typing import Any

from orchestra.stack import units
from orchestra.stack.model import Mount
from orchestra.stack.problems import Path, spell
from orchestra.stack.scope import Scope, normal, shown, without_extensions

_SHARE = re.compile(r"[1-9]\d?%|100%")
"""Of the machine's memory (tmpfs(5))."""
_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")


def volumes(value: Any, path: Path, scope: Scope) -> list[dict[str, Any]]:
    """Every mount in the long form; of two on one target, the later one stays."""
    found: dict[str, dict[str, Any]] = {}
    for index, entry in enumerate(value or ()):
        at = (*path, index)
        if entry is None:
            continue
        mount = _long(entry, at, scope) if isinstance(entry, dict) else _short(str(entry), at, scope)
        if mount is None:
            continue
        if wrong := _wrong_target(mount["target"]):
            scope.report.problem(at, wrong)
            continue
        found[mount["target"]] = mount
    return list(found.values())


def _wrong_target(target: str) -> str:
    """Why nothing can be mounted there; "" where it can."""
    if not target.startswith("/"):
        return f"target {target!r} is not an absolute path inside of the container"
    if target == "/" or target == "/proc" or target.startswith("/proc/"):
        # The runtime itself relies on what /proc is (CVE-2019-19921).
        return f"nothing can be mounted over {target} (name another folder inside of the container)"
    return ""


def _short(text: str, path: Path, scope: Scope) -> dict[str, Any] | None:
    parts = text.split(":")
    if len(parts) > 3 or "" in parts:
        scope.report.problem(path, f"{text!r} is not a mount (write it like name:/path, ./folder:/path or /path:ro)")
        return None
    if len(parts) == 1:
        # As compose-go's ParseVolume, which is done early with what has at most two characters.
        rest: dict[str, Any] = {"volume": {}} if len(text) > 2 else {}
        return {"type": "volume", "target": normal(text), **rest}
    source, target, options = parts[0], normal(parts[1]), parts[2].split(",") if len(parts) == 3 else []
    mount: dict[str, Any] = {"type": "volume", "source": source, "target": target}
    if source.startswith((".", "/", "~")):
        mount |= {"type": "bind", "source": scope.absolute(source), "bind": {"create_host_path": True}}
    else:
        mount["volume"] = {}
        if len(source) == 1:
            scope.report.warn(
                f"{spell(path)}: docker compose takes {source}: for a drive; here it is volume {source}"
            )
    for option in options:
        _option(mount, option, path, scope)
    return mount


def _option(mount: dict[str, Any], option: str, path: Path, scope: Scope) -> None:
    if option == "ro":
        mount["read_only"] = True
    elif option == "nocopy":
        mount.setdefault("volume", {})["nocopy"] = True
    elif option in ("z", "Z"):
        mount.setdefault("bind", {})["selinux"] = option
    elif option == "suid" and mount["type"] == "bind":
        mount["bind"]["suid"] = True
    elif option in _PROPAGATIONS:
        mount.setdefault("bind", {})["propagation"] = option
    elif option not in ("rw", "cached", "delegated", "consistent", "copy"):
        scope.report.warn(f"{spell(path)}: mount option {option!r} is not known and ignored")


def _long(entry: dict[str, Any], path: Path, scope: Scope) -> dict[str, Any] | None:
    kind, target = entry.get("type"), entry.get("target")
    if not target:
        scope.report.key_problem(path, "target is missing (where to mount it inside of the container)")
        return None
    mount: dict[str, Any] = {"type": kind}
    source = entry.get("source")
    if source:
        mount["source"] = scope.absolute(str(source)) if kind == "bind" else str(source)
    elif kind == "bind":
        scope.report.key_problem(path, "source is missing (a bind mount needs a path of the host)")
        return None
    mount["target"] = normal(str(target))
    if entry.get("read_only") is not None and scope.flag(entry["read_only"], (*path, "read_only")):
        mount["read_only"] = True
    if entry.get("consistency"):
        mount["consistency"] = entry["consistency"]
    for section in ("bind", "volume", "tmpfs"):
        if isinstance(entry.get(section), dict):
            mount[section] = _section(section, entry[section], (*path, section), scope)
    return mount


def _section(name: str, options: dict[str, Any], path: Path, scope: Scope) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in without_extensions(options).items():
        at = (*path, key)
        if key in ("nocopy", "create_host_path", "suid"):
            truth = scope.flag(value, at)
            if truth:
                found[key] = truth
            elif truth is False and key == "create_host_path":
                found[key] = False
        elif key == "size":
            size = scope.size(value, at)
            if size is not None:
                found[key] = str(size)
        elif key == "mode":
            mode = scope.integer(value, at, 0, 0o7777)
            if mode is not None:
                found[key] = mode
        elif key == "labels":
            found[key] = scope.pairs(value, at)
        elif key == "propagation" and value not in _PROPAGATIONS:
            scope.report.problem(
                at, f"{shown(value)} is not a propagation (expected one of {', '.join(_PROPAGATIONS)})"
            )
        else:
            found[key] = value
    return found


def tmpfs(value: Any, path: Path, scope: Scope) -> list[str]:
    found = scope.texts(value, path)
    for index, text in enumerate(found):
        at = (*path, index) if isinstance(value, list) else path
        _tmpfs(text, at, scope)
    return found


def _tmpfs(text: str, path: Path, scope: Scope | None) -> Mount | None:
    """`/run:size=64m,mode=1777,ro`."""
    target, _, options = text.partition(":")
    size: int | None = None
    mode: int | None = None
    read_only, wrong = False, None
    further: list[str] = []
    for option in options.split(",") if options else ():
        key, _, value = option.partition("=")
        if key == "size" and _SHARE.fullmatch(value):
            further.append(option)
        elif key == "size":
            size = units.size(value)
            wrong = f"{value!r} is not a size" if size is None else wrong
        elif key == "mode":
            mode = int(value, 8) if value and set(value) <= set("01234567") and len(value) < 6 else None
            wrong = f"{value!r} is not an octal mode" if mode is None else wrong
        elif key == "ro":
            read_only = True
        elif key in ("uid", "gid", "nr_inodes"):
            further.append(option)
            wrong = wrong if value.isascii() and value.isdecimal() and len(value) < 10 else f"{option!r} is no number"
        elif key == "exec":
            further.append(key)
        elif key not in ("rw", "noexec", "nosuid", "nodev"):
            wrong = (
                f"tmpfs option {option!r} is not known (expected size=, mode=, uid=, gid=, nr_inodes=, exec or ro)"
            )
    wrong = _wrong_target(normal(target) if target.startswith("/") else target) or wrong
    if wrong:
        if scope is not None:
            scope.report.problem(path, wrong)
        return None
    return Mount("tmpfs", normal(target), read_only=read_only, size=size, mode=mode, options=tuple(further))


def parsed(service: dict[str, Any]) -> tuple[Mount, ...]:
    """All mounts of a service from the model."""
    found = [_parsed(mount) for mount in service.get("volumes", ()) if mount["type"] in ("bind", "volume", "tmpfs")]
    found += [mount for text in service.get("tmpfs", ()) if (mount := _tmpfs(text, (), None))]
    return tuple(found)


def _parsed(mount: dict[str, Any]) -> Mount:
    bind, volume, tmpfs = mount.get("bind", {}), mount.get("volume", {}), mount.get("tmpfs", {})
    kind = mount["type"]
    return Mount(
        type=kind,
        target=mount["target"],
        source=mount.get("source", "") if kind != "tmpfs" else "",
        read_only=mount.get("read_only", False),
        # The default of the long form is true since compose-go 2.10.1.
        create_host_path=bind.get("create_host_path", True),
        propagation=bind.get("propagation", "rprivate"),
        suid=bind.get("suid", False),
        nocopy=volume.get("nocopy", False),
        subpath=volume.get("subpath", ""),
        size=int(tmpfs["size"]) if "size" in tmpfs and kind == "tmpfs" else None,
        mode=tmpfs.get("mode") if kind == "tmpfs" else None,
    )


def twice_mounted(service: dict[str, Any], path: Path, scope: Scope) -> None:
    """A tmpfs and a volume cannot share a target."""
    targets = {mount["target"] for mount in service.get("volumes", ())}
    for index, text in enumerate(service.get("tmpfs", ())):
        if normal(text.partition(":")[0]) in targets:
            scope.report.problem((*path, "tmpfs", index), f"{text!r} is on the target of a volume as well")
