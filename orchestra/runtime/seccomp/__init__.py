"""The system call filter: ready BPF bytes in a file, made once for each profile and set of capabilities.

A filter file holds several programs, loaded in their order; the kernel takes the strictest answer. The second one,
`denials.json`, stands behind any profile. Default bytes for the default capabilities are part of the package, so
that ordinarily nothing is compiled, or even imported, here.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

from orchestra.plan.defaults import CAPABILITIES

MAGIC = b"orcbpf1\n"
HERE = os.path.dirname(__file__)
DEFAULT, UNCONFINED = "", "unconfined"


def ensure_filter(directory: str, profile: str, capabilities: Iterable[str], privileged: bool = False) -> str:
    """The path of the filter file for a container, "" for none.

    `profile` is "" (the default one), "unconfined", or the path of a profile in JSON. Compiled ones are kept in
    `directory`. Raises compiler.ProfileError or OSError.
    """
    machine = os.uname().machine
    wanted = frozenset(capabilities)
    if privileged or profile == UNCONFINED:
        return ""
    if profile == DEFAULT and wanted == frozenset(CAPABILITIES) and os.path.exists(shipped(machine)):
        return shipped(machine)
    import hashlib  # heavy, and of no use to the keeper, which only unpacks

    text = _read(profile or f"{HERE}/default.json")
    key = hashlib.blake2b(b"\0".join([MAGIC, machine.encode(), *sorted(c.encode() for c in wanted), text]))
    path = f"{directory}/{key.hexdigest()[:24]}.bpf"
    if not os.path.exists(path):
        os.makedirs(directory, 0o700, exist_ok=True)
        _replace(path, build(text, wanted, machine))
    return path


def shipped(machine: str) -> str:
    return f"{HERE}/default.{machine}.bpf"


def build(profile: bytes, capabilities: Iterable[str], machine: str) -> bytes:
    """The content of a filter file."""
    import json  # not needed where the shipped bytes do

    from . import compiler

    numbers = json.loads(_read(f"{HERE}/numbers.json"))
    if machine not in numbers:
        raise compiler.ProfileError(f"no system call numbers for {machine}")
    texts = (profile, _read(f"{HERE}/denials.json"))
    programs = [compiler.compile_profile(compiler.parse(t), capabilities, machine, numbers[machine]) for t in texts]
    return pack(programs)


def pack(programs: Iterable[bytes]) -> bytes:
    return MAGIC + b"".join(struct.pack("=I", len(program)) + program for program in programs)


def unpack(content: bytes) -> list[bytes]:
    if not content.startswith(MAGIC):
        raise OSError(22, "not a filter file")
    programs, at = [], len(MAGIC)
    while at < len(content):
        size = struct.unpack_from("=I", content, at)[0]
        programs.append(content[at + 4 : at + 4 + size])
        at += 4 + size
        if at > len(content) or not size or size % 8:
            raise OSError(22, "a damaged filter file")
    return programs


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _replace(path: str, content: bytes) -> None:
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(content)
    os.rename(temporary, path)
