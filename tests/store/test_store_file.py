"""store.yml and accounts.yml: what the files say and what the programs need agree."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from store_processes import EXAMPLES, LIB, SERVICES, STORE, folder_of

from orchestra.stack.files import Loaded, Request, load
from orchestra.stack.model import HttpProbe, Join, Port, Service, Use

OWN = [name for name in SERVICES if name != "accounts"]


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load(Request(files=("store.yml",), cwd=str(STORE)))


@pytest.fixture(scope="module")
def services(loaded: Loaded) -> dict[str, Service]:
    """Those of the store, and the one that it uses."""
    return {**loaded.stack.services, **loaded.stack.owners["accounts"].services}


def test_the_file_has_four_services_of_its_own_and_nothing_odd(loaded: Loaded) -> None:
    """Orchestra takes it without a word."""
    assert loaded.warnings == ()
    assert loaded.stack.name == "store"
    assert sorted(loaded.stack.services) == sorted(OWN)


def test_accounts_belongs_to_a_stack_of_its_own(loaded: Loaded) -> None:
    """Which is found beside the store's folder, and has nothing else in it."""
    file = str(EXAMPLES / "accounts/accounts.yml")
    assert loaded.stack.uses == {"accounts": Use("accounts", "accounts", "accounts", file, (Join("default"),))}
    owner = loaded.stack.owners["accounts"]
    assert owner.files == (file,)
    assert list(owner.services) == ["accounts"]
    assert sorted(owner.volumes) == ["accounts-data"]


def test_accounts_can_be_somewhere_else(loaded: Loaded) -> None:
    """ACCOUNTS_URL says where; by default it is the name that it has in the store's network."""
    assert loaded.stack.services["web"].environment["ACCOUNTS_URL"] == "http://accounts:8080"
    elsewhere = load(Request(files=("store.yml",), cwd=str(STORE), environ={"ACCOUNTS_URL": "http://10.1.2.3"}))
    assert elsewhere.stack.services["orders"].environment["ACCOUNTS_URL"] == "http://10.1.2.3"


def test_each_service_runs_its_own_folder_on_its_own_data(loaded: Loaded, services: dict[str, Service]) -> None:
    """Programs are mounted read-only, and no two services share a volume."""
    for name, service in services.items():
        mounts = {mount.target: mount for mount in service.mounts}
        assert service.command == ("python3", "/app/main.py")
        assert (mounts["/app"].source, mounts["/app"].read_only) == (str(folder_of(name)), True)
        assert (mounts["/srv/lib"].source, mounts["/srv/lib"].read_only) == (str(LIB), True)
        assert service.environment["PYTHONPATH"] == "/srv/lib"
        assert service.read_only
        expected = None if name == "web" else ("volume", f"{name}-data")
        assert expected == (("/data" in mounts and (mounts["/data"].type, mounts["/data"].source)) or None)
    assert sorted(loaded.stack.volumes) == sorted(f"{name}-data" for name in OWN if name != "web")


def test_only_the_front_is_published_and_only_on_this_machine(services: dict[str, Service]) -> None:
    """STORE_PORT chooses where."""
    ports = {name: service.ports for name, service in services.items() if service.ports}
    assert ports == {"web": (Port(8080, (8080, 8080), "127.0.0.1"),)}
    elsewhere = load(Request(files=("store.yml",), cwd=str(STORE), environ={"STORE_PORT": "9000"}))
    assert elsewhere.stack.services["web"].ports == (Port(8080, (9000, 9000), "127.0.0.1"),)


def test_whoever_asks_another_service_waits_for_its_health(services: dict[str, Service]) -> None:
    """`depends_on` names just the peers that the program calls, and each has a check to wait for."""
    for name, service in services.items():
        source = "".join(path.read_text() for path in folder_of(name).glob("*.py"))
        peers = {peer for peer in SERVICES if f'Peer("{peer}")' in source}
        peers |= {"accounts"} if "service.site" in source else set()
        assert {need.service for need in service.depends_on} == peers
        assert {need.condition for need in service.depends_on} <= {"service_healthy"}
        assert service.healthcheck is not None
        assert service.healthcheck.probe == HttpProbe("", 8080, "/health")


@pytest.mark.parametrize("name", SERVICES)
def test_types_hold(name: str) -> None:
    """Each folder is a program of its own for mypy --strict, as it is for Python."""
    mypy = shutil.which("mypy", path=str(sys.prefix) + "/bin")
    if mypy is None:
        pytest.skip("mypy is not installed")
    done = subprocess.run(
        [
            mypy,
            "--strict",
            "--config-file=",
            f"--cache-dir={STORE.parents[1] / '.mypy_cache' / name}",
            *map(str, folder_of(name).glob("*.py")),
        ],
        env={"MYPYPATH": f"{LIB}:{folder_of(name)}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
