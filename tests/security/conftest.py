"""The stages of the whole-stack tests: one for a test, or one for the reading tests of a module."""

from __future__ import annotations

from whole.conftest import orchestra, shared

__all__ = ["orchestra", "shared"]
