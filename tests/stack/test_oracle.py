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
from orchestra.stack.problems import Problems

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
        ("include-more.yml",),
        ("include-more.yml", "include-over.yml"),
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


REFUSED = (
    "environment:",
    "ports:",
    "user: 5",
    "tty: 1",
    "image2: 5",
    "command: [1]",
    "ulimits: {nofile: {soft: 5}}",
    "mem_limit: foo",
    "mem_limit: 1Gi",
    "stop_grace_period: 90",
    "healthcheck: {timeout: 1x}",
    "healthcheck: {test: [FOO, a]}",
    "environment: {A: [5]}",
    "container_name: '-'",
    "ports: ['a:80']",
    "ports: [80.5]",
    "ports: ['70000:80']",
    "ports: ['1-2:3-5']",
    "ports: ['1:2/foo']",
    "deploy: {foo: 1}",
    "volumes: [{type: bind, target: /x}]",
    "volumes: [{type: volume, source: a}]",
    "volumes: [nowhere:/x]",
    "secrets: [q]",
    "configs: [{source: q}]",
    "network_mode: service:zz",
    "{network_mode: host, networks: [default]}",
    "{scale: 2, deploy: {replicas: 3}}",
    "{mem_limit: 1g, deploy: {resources: {limits: {memory: 2g}}}}",
    "depends_on: [a]",
    "depends_on: [zz]",
    "depends_on: {a: {}}",
    "extra_hosts: [abc]",
    "networks: [zz]",
    "command: ${X:=y}",
    "command: ${X?needed}",
    "env_file: nope.env",
    "user: x\n    user: y",
    "1: x",
)


@pytest.mark.parametrize("key", REFUSED)
def test_what_docker_compose_refuses_is_refused(tmp_path: Path, key: str) -> None:
    """A typo never passes here that does not pass there."""
    body = "\n    ".join(key[1:-1].split(", ", 1)) if key.startswith("{") else key
    (tmp_path / "stack.yml").write_text(f"name: t\nservices:\n  a:\n    image: x\n    {body}\n")
    command = [str(ORACLE), "-f", "stack.yml", "config", "-q"]
    environ = {**ENVIRON, "DOCKER_HOST": "unix:///nonexistent.sock"}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, timeout=30, check=False)
    assert done.returncode != 0
    request = files.Request(files=("stack.yml",), cwd=str(tmp_path), environ=ENVIRON)
    try:
        problems = loading.modelled_of(request, files.find(request)).scope.report.problems
    except Problems as wrong:
        problems = list(wrong.problems)
    assert problems
