"""The root file system of all measured services: one static program and the mount points that engines expect."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .sandbox import Failed

SOURCE = Path(__file__).parent / "service.c"


def make(folder: Path) -> Path:
    root = folder / "root"
    for name in ("dev", "etc", "proc", "run", "sys", "tmp", "usr", "var"):
        (root / name).mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/false\n")
    (root / "etc/group").write_text("root:x:0:\n")
    compiler = ["cc", "-O2", "-static", "-s", "-o", str(root / "service"), str(SOURCE)]
    done = subprocess.run(compiler, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"cannot compile {SOURCE.name} (Debian: gcc libc6-dev): {done.stderr}")
    return root
