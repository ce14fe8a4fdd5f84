"""Which host ids a container gets: none that somebody else has, or is promised."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestra.errors import OrchestraError
from orchestra.state import ranges
from orchestra.state.files import write_json
from orchestra.state.leases import leases
from orchestra.state.ranges import RANGE

UNSHARED = """
import ctypes, sys
assert ctypes.CDLL(None).unshare(0x10000000) == 0
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def subuid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of subordinate ids, which only a test fills."""
    path = tmp_path / "subuid"
    monkeypatch.setattr(ranges, "SUBORDINATE", (str(path), str(tmp_path / "nothing")))
    monkeypatch.setattr(ranges, "NSPAWN", str(tmp_path / "nspawn"))
    return path


def given(home: Path, *keys: str) -> list[int]:
    with leases(str(home / "leases.json")) as held:
        return [held.range_of(key) for key in keys]


def given_anew(home: Path, *keys: str) -> list[int]:
    """As in a home where nothing is held."""
    (home / "leases.json").unlink(missing_ok=True)
    return given(home, *keys)


def test_ranges_of_others_are_left_to_them(subuid: Path, tmp_path: Path) -> None:
    """Subordinate ids, whole and in part, and the locks of systemd-nspawn."""
    home = tmp_path / "home"
    first, second, third = given(home, "a", "b", "c")
    subuid.write_text(f"user:{first + 5}:1\nmalformed\nx:y:z\nother:{third}:0\n")
    assert given_anew(home, "a") == [second]
    (tmp_path / "nspawn").mkdir()
    (tmp_path / "nspawn" / str(second)).touch()
    assert given_anew(home, "a") == [third]


@pytest.mark.kernel
def test_what_the_namespace_of_a_process_maps_is_taken(subuid: Path, tmp_path: Path) -> None:
    """As the containers of another home have it, which this one knows nothing of."""
    (base,) = given(tmp_path, "a")
    with subprocess.Popen([sys.executable, "-c", UNSHARED], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{other.pid}/{name}").write_text(f"0 {base} 10")
        assert given_anew(tmp_path, "a") != [base]
        other.kill()
    assert given_anew(tmp_path, "a") == [base]


def test_a_range_is_kept_whatever_others_do(subuid: Path, tmp_path: Path) -> None:
    """Also one of which the lease was lost, wherever it is."""
    (base,) = given(tmp_path, "a")
    subuid.write_text(f"user:{base}:{RANGE}\n")
    assert given(tmp_path, "a") == [base]
    (tmp_path / "leases.json").unlink()
    with leases(str(tmp_path / "leases.json")) as held:
        assert held.range_of("a", 524288) == 524288
        assert held.range_of("b", 524288) != 524288


def test_homes_choose_different_ones_and_none_of_systemds(subuid: Path, tmp_path: Path) -> None:
    """Without any of them running."""
    found = [base for home in range(5) for base in given(tmp_path / str(home), "a")]
    assert len(set(found)) > 1
    assert all(0x70000000 <= base < 0x7FFE0000 for base in found)


def test_nothing_free_is_an_error(subuid: Path, tmp_path: Path) -> None:
    subuid.write_text("user:0:4294967295\n")
    with pytest.raises(OrchestraError, match="no range of 65536 user ids is free"):
        given(tmp_path, "a")


@pytest.mark.parametrize(
    "spoiled", [5, {"t/web": 5}, {"t/web": [5]}, {"t/web": [["", "80", 90, "tcp"]]}, {"t/web": [[]]}]
)
def test_spoiled_ports_are_set_aside_with_their_file(tmp_path: Path, spoiled: object) -> None:
    path = tmp_path / "leases.json"
    with leases(str(path)) as held:
        held.hold_ports("t", {"web": [("", 20000, 20999, "tcp")]})
    with leases(str(path)) as held:
        assert held.ports == {"t/web": [["", 20000, 20999, "tcp"]]}
    write_json(str(path), {"ports": spoiled})
    with leases(str(path)) as held:
        assert held.ports == {}
    assert (tmp_path / "leases.json.bad").exists()
