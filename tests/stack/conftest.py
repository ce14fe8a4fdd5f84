"""Stack files written on the spot, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestra.stack.files import Loaded, Request, load
from orchestra.stack.problems import Problems

Load = Callable[..., Loaded]
Wrong = Callable[..., list[str]]


@pytest.fixture
def loaded(tmp_path: Path) -> Load:
    """Load a text as stack.yml of a folder called `shop`; further files by name."""

    def load_text(text: str, *, files: dict[str, str] | None = None, **request: Any) -> Loaded:
        folder = tmp_path / "shop"
        folder.mkdir(exist_ok=True)
        for name, content in {"stack.yml": text, **(files or {})}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return load(Request(**{"cwd": str(folder), "environ": {"HOME": "/home/me"}, **request}))

    return load_text


@pytest.fixture
def wrong(loaded: Load) -> Wrong:
    """The problems of a text, one line each."""

    def problems(text: str, **more: Any) -> list[str]:
        with pytest.raises(Problems) as caught:
            loaded(text, **more)
        return str(caught.value).splitlines()

    return problems
