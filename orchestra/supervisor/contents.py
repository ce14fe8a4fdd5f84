"""What the files of secrets and configs say at the moment.

A container has copies, made at each start, with the owner and mode that its service asks for. `up` replaces who was
made for other contents.
"""

from __future__ import annotations

import os
import stat

import anyio.to_thread

from ..plan.changes import with_contents
from ..stack.model import Stack


async def with_files(stack: Stack) -> Stack:
    """The same stack, each service of which is another one when such a file of its is."""
    paths = {
        f"{kind}/{key}": source.file
        for kind, sources in (("secret", stack.secrets), ("config", stack.configs))
        for key, source in sources.items()
        if source.file is not None
    }
    if not paths:
        return stack
    digests = await anyio.to_thread.run_sync(lambda: {key: _digest(path) for key, path in paths.items()})
    return with_contents(stack, digests)


def _digest(path: str) -> str:
    """ "" for what cannot be given to a container: admission, or the start, says why."""
    import hashlib

    from ..runtime.prepared import LARGEST_FILE

    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return ""
        try:
            return hashlib.blake2b(file.read(LARGEST_FILE), digest_size=16).hexdigest()
        except OSError:
            return ""
