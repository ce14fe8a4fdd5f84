"""The system call filter: ready BPF bytes in a file, made once for each profile and set of capabilities.

A filter file holds several programs, loaded in their order; the kernel takes the strictest answer. `denials.json`
stands behind any profile, and so does `setid.json` where nobody may make programs that change who runs them. Default
bytes for the default capabilities are part of the package, so that ordinarily nothing is compiled, or even imported,
here.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable

from orchestra.errors import OrchestraError
from orchestra.plan.defaults import CAPABILITIES

MAGIC = b"orcbpf1\n"
HERE = os.path.dirname(__file__)
LARGEST_PROFILE = 1 << 20
DEFAULT, UNCONFINED = "", "unconfined"
SETFCAP = "CAP_SETFCAP"


def ensure_filter(
    directory: str, profile: str, capabilities: Iterable[str], privileged: bool = False, set_id: bool = True
) -> str:
    """The path of the filter file for a container, "" for none.

    `profile` is "" (the default one), "unconfined", or the path of a profile in JSON. `set_id`: set-user-ID and
    set-group-ID bits may be set. Compiled ones are kept in `directory`. Raises OrchestraError for a profile that
    cannot be used, OSError.
    """
    machine = os.uname().machine
    wanted = frozenset(capabilities)
    if privileged or (profile == UNCONFINED and set_id):
        return ""
    usual = wanted | {SETFCAP} == frozenset(CAPABILITIES)  # which no profile of ours asks for
    if profile == DEFAULT and usual and os.path.exists(shipped(machine, set_id)):
        return shipped(machine, set_id)
    import hashlib  # heavy, and of no use to the keeper, which only unpacks

    text = b"" if profile == UNCONFINED else _read_given(profile) if profile else _read(f"{HERE}/default.json")
    parts = [MAGIC, machine.encode(), b"" if set_id else b"setid", *sorted(c.encode() for c in wanted), text]
    key = hashlib.blake2b(b"\0".join(parts))
    path = f"{directory}/{key.hexdigest()[:24]}.bpf"
    if not os.path.exists(path):
        os.makedirs(directory, 0o700, exist_ok=True)
        try:
            content = build(text, wanted, machine, set_id)
        except OrchestraError as error:
            raise OrchestraError(f"seccomp profile {profile}: {error.what}") from error
        _replace(path, content)
    return path


def shipped(machine: str, set_id: bool = True) -> str:
    return f"{HERE}/default{'' if set_id else '-setid'}.{machine}.bpf"


def build(profile: bytes, capabilities: Iterable[str], machine: str, set_id: bool = True) -> bytes:
    """The content of a filter file; an empty profile allows what is not set-ID."""
    import json  # not needed where the shipped bytes do

    from . import compiler

    numbers = json.loads(_read(f"{HERE}/numbers.json"))
    if machine not in numbers:
        raise compiler.ProfileError(f"no system call numbers for {machine}")
    texts = [profile, _read(f"{HERE}/denials.json")] if profile else []
    if not set_id:
        texts.append(_read(f"{HERE}/setid.json"))
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


def _read_given(path: str) -> bytes:
    """Somebody's file: a device or FIFO would keep us waiting for ever."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise OrchestraError(f"cannot read seccomp profile {path}: {error.strerror}") from error
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_PROFILE:
            raise OrchestraError(f"seccomp profile {path} is no regular file of at most 1 MiB")
        return os.read(fd, LARGEST_PROFILE)
    except OSError as error:
        raise OrchestraError(f"cannot read seccomp profile {path}: {error.strerror}") from error
    finally:
        os.close(fd)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _replace(path: str, content: bytes) -> None:
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(content)
    os.rename(temporary, path)
