"""The model is what the real docker compose makes of the same files.

`python tests/oracle/fetch.py` fetches its binary; without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from orchestra.stack import files, loading

HERE = Path(__file__).parent / "compose"
ORACLE = Path(
    os.environ.get("ORCHESTRA_COMPOSE_ORACLE") or Path.home() / ".cache" / "orchestra-oracle" / "docker-compose"
)
ENVIRON = {"SET": "set", "EMPTY": "", "WHO": "me", "HOME": "/home/me", "PATH": "/usr/bin:/bin"}

pytestmark = pytest.mark.skipif(
    not ORACLE.exists(), reason=f"no docker compose at {ORACLE} (python tests/oracle/fetch.py fetches it)"
)


def theirs(names: tuple[str, ...], *options: str) -> Any:
    command = [
        str(ORACLE),
        *(word for name in names for word in ("-f", name)),
        *options,
        "config",
        "--format",
        "json",
    ]
    environ = {**ENVIRON, "DOCKER_HOST": "unix:///nonexistent.sock"}
    done = subprocess.run(command, cwd=HERE, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ours(names: tuple[str, ...], profiles: tuple[str, ...] = ()) -> Any:
    environ = {**ENVIRON, "DOCKER_HOST": "unix:///nonexistent.sock"}
    request = files.Request(files=names, cwd=str(HERE), environ=environ, profiles=profiles)
    modelled = loading.modelled_of(request, files.find(request))
    assert [str(problem) for problem in modelled.scope.report.problems] == []
    return json.loads(files.to_json(modelled.model))


@pytest.mark.parametrize(
    "names",
    [
        ("every-key.yml",),
        ("odd-forms.yml",),
        ("anchors.yml",),
        ("interpolation.yml",),
        ("extends.yml",),
        ("include.yml",),
        ("profiles.yml",),
        ("merge-base.yml",),
        ("merge-base.yml", "merge-over.yml"),
    ],
    ids="+".join,
)
def test_the_model_is_that_of_docker_compose(names: tuple[str, ...]) -> None:
    """Key by key, typed, with `$` doubled."""
    assert ours(names) == theirs(names)


@pytest.mark.parametrize("profile", ["one", "two", "*"])
def test_profiles_are_those_of_docker_compose(profile: str) -> None:
    """Services that are on, and what they use."""
    assert ours(("profiles.yml",), (profile,)) == theirs(("profiles.yml",), "--profile", profile)
