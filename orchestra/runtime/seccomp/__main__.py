"""`python -m orchestra.runtime.seccomp` writes the bytes that are shipped; a test says when that is due."""

from __future__ import annotations

from orchestra.plan.defaults import CAPABILITIES

from . import HERE, build, shipped
from .compiler import ARCHITECTURES

with open(f"{HERE}/default.json", "rb") as file:
    profile = file.read()
for machine in ARCHITECTURES:
    for set_id in (True, False):
        with open(shipped(machine, set_id), "wb") as out:
            out.write(build(profile, CAPABILITIES, machine, set_id))
