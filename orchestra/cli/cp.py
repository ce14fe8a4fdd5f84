"""`orchestra cp`: files and folders out of containers and into them, as tar streams through a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from orchestra.client import Connection
from orchestra.errors import OrchestraError
from orchestra.wire.terminal import line as fit

from .console import echo
from .listen import receive, trouble
from .options import Asked, project_options
from .project import find, need_services
from .reach import at_owner, connect, minding

STREAM = "-"
BLOCK = 1 << 16
Carry = Callable[[int], None]


@click.command()
@click.argument("source", metavar="SERVICE:PATH|PATH|-")
@click.argument("destination", metavar="SERVICE:PATH|PATH|-")
@click.option("-a", "--archive", is_flag=True, help="Keep the numbers of users and groups.")
@click.option("-L", "--follow-link", "follow", is_flag=True, help="Copy what a link leads to, not the link.")
@click.option("--index", type=int, default=0, metavar="N", help="This replica.")
@click.option("--all", "every", is_flag=True, hidden=True)
@project_options()
@click.pass_obj
def command(
    asked: Asked, source: str, destination: str, archive: bool, follow: bool, index: int, every: bool
) -> None:
    """Copy files or folders between a container and this machine.

    With - as the destination they are written to stdout as a tar archive, with - as the source an archive from stdin
    is unpacked in a folder of the container. FOLDER/. means what is in the folder. Into a service with several
    replicas it is copied into each of them.
    """
    if asked.dry_run:
        raise OrchestraError("cp has no --dry-run", "leave it out")
    outwards, inwards = named(source), named(destination)
    if bool(outwards) == bool(inwards):
        what = "between two containers" if outwards else "without a container"
        raise OrchestraError(f"cp: cannot copy {what}", "name one side as SERVICE:PATH")
    service, path = outwards or inwards or ("", "")
    places = find(asked)
    connection, (service,) = at_owner(minding(connect(places), places), asked.home(), [service])
    with connection:
        rows = connection.call({"do": "status"})["rows"]
        need_services(asked, [service], rows)
        request = {"do": "copy", "service": service, "index": index}
        if outwards:
            copy_out(connection, request, path, destination, archive, follow)
            return
        replicas = [row["replica"] for row in rows if row["service"] == service and not row["oneoff"]]
        chosen = [index] if index or not replicas else sorted(replicas)
        if source == STREAM and len(chosen) > 1:
            raise OrchestraError(f"{service} has {len(chosen)} replicas, and stdin can be read once", "use --index")
        for number in chosen:
            copy_in(connection, {**request, "index": number}, source, path, archive, follow)


def named(word: str) -> tuple[str, str] | None:
    """SERVICE:PATH; a path of this machine with a colon in it has a slash in front of that."""
    service, colon, path = word.partition(":")
    return (service, path or "/") if colon and service and "/" not in service and word != STREAM else None


def copy_out(
    connection: Connection, request: dict[str, Any], path: str, destination: str, archive: bool, follow: bool
) -> None:
    from orchestra.archive.places import basename

    name = basename(path)
    order = {"direction": "out", "path": path, "name": name, "follow": follow, "owners": False}
    if destination == STREAM:
        if sys.stdout.isatty():
            raise OrchestraError("cp: stdout is a terminal, and an archive is not for reading", "send it elsewhere")
        done(connection, {**request, "order": order}, 0, sys.stdout.fileno(), None)
        return
    reading, writing = os.pipe()

    def take(_: int) -> None:
        take_out(reading, destination, name, archive)

    done(connection, {**request, "order": order}, 0, writing, take)


def take_out(stream: int, destination: str, name: str, archive: bool) -> None:
    """Unpack on this machine: below the destination, whatever the stream says."""
    from orchestra.archive.beneath import Root
    from orchestra.archive.places import destination as place_of
    from orchestra.archive.unpack import BadArchive, Rules, unpack

    with open(stream, "rb", buffering=BLOCK) as source:
        if not source.peek(1):  # type: ignore[attr-defined]  # nothing came: the other side says why
            return
        try:
            folder, top = place_of(Root(None), destination, name)
            try:
                unpack(source, folder, Rules(owners=archive, top=(name, top)), warn)
            finally:
                os.close(folder)
            while source.read(BLOCK):
                continue
        except BadArchive as error:
            raise OrchestraError(fit(f"cp: {error}")) from None


def copy_in(
    connection: Connection, request: dict[str, Any], source: str, path: str, archive: bool, follow: bool
) -> None:
    from orchestra.archive.beneath import Root
    from orchestra.archive.pack import pack
    from orchestra.archive.places import basename

    name = "" if source == STREAM else basename(source)
    order = {"direction": "in", "path": path, "name": name, "follow": False, "owners": archive}
    if source == STREAM:
        if sys.stdin.isatty():
            raise OrchestraError(
                "cp: stdin is a terminal", "give it an archive, as in: tar c folder | orchestra cp - …"
            )
        done(connection, {**request, "order": order}, sys.stdin.fileno(), 1, None)
        return
    try:
        os.stat(source, follow_symlinks=follow)  # before anything is begun
    except OSError as error:
        raise OrchestraError(fit(f"cp: {source}: {error.strerror}")) from None
    reading, writing = os.pipe()

    def give(_: int) -> None:
        with open(writing, "wb", buffering=BLOCK) as out:
            pack(Root(None), source, name, out, warn, follow)

    done(connection, {**request, "order": order}, reading, 1, give)


def done(connection: Connection, request: dict[str, Any], stdin: int, stdout: int, carry: Carry | None) -> None:
    """Have it begun, do our part of it, and hear how it ended. Descriptors that are pipes are closed here."""
    hear, say = os.pipe()
    null = os.open(os.devnull, os.O_RDWR)
    order = request["order"]
    streams = (stdin, null) if order["direction"] == "in" else (null, stdout)
    number = connection.send(request, (*streams, say))
    os.close(say)
    os.close(null)
    if carry is not None:
        os.close(stdin if order["direction"] == "in" else stdout)
    failed: OSError | None = None
    try:
        if carry is not None:
            carry(number)
    except BrokenPipeError:
        pass  # the other side gave up, and says why
    except OSError as error:
        failed = error
    finally:
        words, code = last_words(connection, number, hear, patient=failed is None)
    if failed is not None:
        place = failed.filename if isinstance(failed.filename, str) else ""
        raise OrchestraError(fit(f"cp: {place}: {failed.strerror}"))
    if code:
        killed = "what copies in the container was killed" if code > 128 else f"it ended with {code}"
        raise OrchestraError("\n".join(f"cp: {line}" for line in words or [killed]))
    for line in words:
        warn(line)


def last_words(connection: Connection, number: int, hear: int, patient: bool) -> tuple[list[str], int]:
    """What the side in the container has to say, and its exit code. Raises OrchestraError where it never began."""
    with open(hear, "rb") as said:
        if not patient:
            return [], 0
        code = -1
        while code < 0:
            for answer in receive(connection):
                if answer.get("re") == number:
                    trouble(answer)
                    code = int(answer["code"]) if answer.get("done") else code
        return said.read(1 << 16).decode(errors="replace").splitlines(), code


def warn(text: str) -> None:
    echo(f"cp: {text}", sys.stderr)
