"""Files of our own, whatever somebody or a crash has made of them: they may be gone, cut, a folder, a link, a FIFO.

What is no plain file where one belongs is damage: it is set aside as `<path>.bad`, never followed, never waited for,
never deleted, and the caller goes on as if it were absent. Want of descriptors, memory or rights is no damage, and
raised as it is. The standard library's os alone, since a keeper and every command load this.
"""

from __future__ import annotations

import errno
import os
import stat

LARGEST = 256 << 20
"""Bytes; no file of ours comes near."""
DAMAGE = frozenset(
    (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV, errno.EIO, errno.EUCLEAN, errno.ESTALE, errno.ENOTDIR)
)
"""What open(2) and read(2) say of a link, a folder, a socket, a device and of a damaged disk."""
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)
"""What reading bytes as something may raise where they are something else."""


def read(path: str) -> bytes | None:
    """The bytes, or None where there is no such file or it had to be set aside."""
    try:
        handle = os.open(path, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in DAMAGE:
            raise
        set_aside(path)
        return None
    try:
        state = os.fstat(handle)
        if stat.S_ISREG(state.st_mode) and state.st_size <= LARGEST:
            with open(handle, "rb", closefd=False) as file:
                return file.read()
    except OSError as error:
        if error.errno not in DAMAGE:
            raise
    finally:
        os.close(handle)
    set_aside(path)
    return None


def to_read(path: str) -> int:
    """A descriptor, for one who only looks. Raises FileNotFoundError also for what is no plain file."""
    try:
        handle = os.open(path, os.O_RDONLY | _FLAGS)
    except OSError as error:
        if error.errno in DAMAGE:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
        raise
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def create(path: str) -> int:
    """A descriptor of an empty file to be written; what else is there is set aside."""
    return _opened(path, os.O_WRONLY | os.O_TRUNC)


def lock_file(path: str) -> int:
    """A descriptor for flock(2) of a file that is made where it is missing, and never emptied."""
    return _opened(path, os.O_RDWR)


def _opened(path: str, flags: int) -> int:
    for last in (False, True):
        try:
            handle = os.open(path, flags | os.O_CREAT | _FLAGS, 0o600)
        except OSError as error:
            if last or error.errno not in DAMAGE:
                raise
        else:
            if last or stat.S_ISREG(os.fstat(handle).st_mode):
                return handle
            os.close(handle)
        set_aside(path)
    raise AssertionError


def to_append(path: str) -> int:
    """A descriptor of a file that grows."""
    return _opened(path, os.O_RDWR | os.O_APPEND)


def to_extend(path: str) -> int:
    """The same, written to at a place that is given: without O_APPEND, which splice(2) refuses."""
    return _opened(path, os.O_RDWR)


def put(new: str, path: str) -> None:
    """rename(2), also over a folder."""
    try:
        os.rename(new, path)
    except (IsADirectoryError, NotADirectoryError):
        set_aside(path)
        os.rename(new, path)


def clear(path: str) -> None:
    """Have nothing at the path, where a socket or a FIFO is to be made."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError):  # POSIX allows either for a folder
        if not os.path.isdir(path):
            raise
        set_aside(path)


def folder(path: str, mode: int = 0o700) -> None:
    """Have a folder at the path, and those above it. A link to one will do: somebody may keep it elsewhere. Raises
    NotADirectoryError for what is in the way outside of our folders, which nobody else may enter."""
    if os.path.isdir(path):
        return
    if os.path.lexists(path):
        if not _is_private(os.path.dirname(path)):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        set_aside(path)
    else:
        folder(os.path.dirname(path), mode)
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    os.chmod(path, mode)  # whatever the umask is


def _is_private(path: str) -> bool:
    found = os.stat(path)
    return found.st_uid == os.geteuid() and not found.st_mode & 0o077


def names_in(path: str) -> list[str]:
    """Sorted; none where there is no such folder."""
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def boot(path: str) -> str | None:
    """The boot id that a file holds (random(4)), None where it holds no such thing."""
    text = read(path) or b""
    mark = text.strip()
    if len(mark) != 36 or mark.translate(None, b"0123456789abcdef-"):
        return None
    return mark.decode()


def set_aside(path: str) -> str:
    """Out of the way, under the first name that is free, which is returned. Where even that is refused it stays: who
    writes there next is told why."""
    aside = ""
    for number in range(1, 100):
        aside = f"{path}.bad" if number == 1 else f"{path}.{number}.bad"
        if not os.path.lexists(aside):
            try:  # noqa: SIM105  to import contextlib takes every command a while
                os.rename(path, aside)
            except OSError:
                pass
            break
    return aside


def is_aside(name: str) -> bool:
    return name.endswith(".bad")
