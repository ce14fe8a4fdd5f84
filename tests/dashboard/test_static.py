"""The files of the page, as they lie there."""

from __future__ import annotations

import re
from pathlib import Path

STATIC = Path(__file__).parents[2] / "orchestra/dashboard/static"
IMPORT = r"""^(?:import|export) (?:[^"]*? from )?"([^"]+)";"""


def test_all_that_the_first_look_needs_is_asked_for_at_once() -> None:
    """What modules import by name would otherwise be found one after the other, a way to the server each."""
    needed: set[Path] = set()
    todo = [STATIC / "js/app.js"]
    while todo:
        module = todo.pop()
        if module not in needed:
            needed.add(module)
            names = re.findall(
                r"""^(?:import|export) (?:[^"]*? from )?"([^"]+)";""", module.read_text(), re.MULTILINE
            )
            todo += [(module.parent / name).resolve() for name in names]
    page = (STATIC / "index.html").read_text()
    asked = re.findall(r'<link rel="modulepreload" href="/([^"]+)">', page)
    found = {str(module.relative_to(STATIC.parent)) for module in needed} - {"static/js/app.js"}
    assert sorted(asked) == sorted(found)
    assert '<script type="module" src="/static/js/app.js">' in page
