"""For all tests: how fast the machine is does not decide whether something is right."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
