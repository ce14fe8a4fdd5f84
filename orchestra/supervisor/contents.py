"""What the files of secrets and configs say at the moment.

A container has copies, made at each start, with the owner and mode that its service asks for. `up` replaces who has
other contents.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

import anyio.to_thread

from ..plan.changes import contents_of, granted, with_contents
from ..stack.model import FileSource, Service, Stack


async def with_files(stack: Stack) -> Stack:
    """The same stack, each service of which is another one when such a file of its is."""
    sources = {
        **{f"secret/{key}": source for key, source in stack.secrets.items()},
        **{f"config/{key}": source for key, source in stack.configs.items()},
    }
    digests = await _digests(sources)
    return with_contents(stack, digests) if digests else stack


async def contents_now(service: Service, sources: Mapping[str, FileSource]) -> str:
    """What a container of it is given if it starts now. `sources`: "secret/NAME" and "config/NAME" -> where from."""
    return contents_of(service, await _digests({key: sources[key] for key in granted(service)}))


async def _digests(sources: Mapping[str, FileSource]) -> dict[str, str]:
    paths = {key: source.file for key, source in sources.items() if source.file is not None}
    if not paths:
        return {}
    return await anyio.to_thread.run_sync(lambda: {key: _digest(path) for key, path in paths.items()})


def _digest(path: str) -> str:
    """ "" for what cannot be given to a container: admission, or the start, says why."""
    import hashlib

    from ..runtime.prepared import LARGEST_FILE

    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return ""
        with open(fd, "rb", closefd=False) as file:
            return hashlib.blake2b(file.read(LARGEST_FILE), digest_size=16).hexdigest()
    except OSError:
        return ""
    finally:
        os.close(fd)
