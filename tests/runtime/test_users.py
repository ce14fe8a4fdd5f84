"""`user:` by name and number, with the files of the container."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.plan import defaults
from orchestra.runtime import StartError, identity

from .conftest import Machine, capabilities

PASSWD = (
    "root:x:0:0::/root:/bin/sh\nweb:x:33:34:Web:/srv/web:/bin/sh\nbad:x:-1:5::/:/bin/sh\n12:x:700:701::/twelve:\n"
)
GROUP = "root:x:0:\nweb:x:34:\nlogs:x:90:other,web\nhuge:x:99999999999:web\n"


@pytest.mark.parametrize(
    ("user", "uid", "gid", "groups", "home"),
    [
        ({"username": "web"}, 33, 34, [90], "/srv/web"),
        ({"username": "33"}, 33, 34, [90], "/srv/web"),
        ({"username": "web:logs"}, 33, 90, [], "/srv/web"),
        ({"username": "web:90"}, 33, 90, [], "/srv/web"),
        ({"username": "1234"}, 1234, 0, [], "/"),
        ({"username": "1234:77"}, 1234, 77, [], "/"),
        ({"username": ":logs"}, 0, 90, [], "/root"),
        ({"username": "12"}, 700, 701, [], "/twelve"),
        ({"uid": 33, "gid": 5, "additionalGids": [6]}, 33, 5, [6], "/srv/web"),
        ({"username": "web", "groups": ["root", "55"]}, 33, 34, [90, 0, 55], "/srv/web"),
    ],
)
def test_a_user_is_looked_up(user: dict[str, object], uid: int, gid: int, groups: list[int], home: str) -> None:
    """Names win over numbers; groups of the user come along unless a group is named (as docker has it)."""
    who = identity.identify({"uid": 0, "gid": 0, **user}, PASSWD, GROUP)  # type: ignore[typeddict-item]
    assert (who.uid, who.gid, who.groups, who.home) == (uid, gid, groups, home)


@pytest.mark.parametrize("name", ["nobody", "bad", "4294967295", "99999999999", "-1", "٣", "web:none", " 1", "0x10"])
def test_who_is_not_there_is_an_error(name: str) -> None:
    """Nothing falls back to root: not an unknown name, not a number out of range or of other digits."""
    with pytest.raises(StartError):
        identity.identify({"uid": 0, "gid": 0, "username": name}, PASSWD, GROUP)


@given(st.text(), st.text(), st.text())
def test_any_text_gives_an_id_in_range_or_an_error(name: str, passwd: str, group: str) -> None:
    """Files of an image may hold anything."""
    try:
        who = identity.identify({"uid": 7, "gid": 7, "username": name}, passwd, group)
    except StartError:
        return
    assert all(0 <= number < 2**32 - 1 for number in (who.uid, who.gid, *who.groups))


@pytest.mark.kernel
@pytest.mark.parametrize("user", ["www-data", "33", "33:33", "www-data:www-data"])
def test_a_service_runs_as_its_user(machine: Machine, user: str) -> None:
    """Ids, home and no capability at all; the Python of the host and the standard streams are usable."""
    ended = machine.shell(
        "id -u; id -g; echo $HOME; grep CapEff /proc/self/status; python3 -c 'print(5)'; echo again >/dev/stdout",
        user={"uid": 0, "gid": 0, "username": user},
    )
    uid, gid, home, _, effective, python, again = ended.out.split()
    assert (uid, gid, home, int(effective, 16), python, again) == ("33", "33", "/var/www", 0, "5", "again")


@pytest.mark.kernel
def test_ambient_capabilities_reach_a_plain_user(machine: Machine) -> None:
    """`cap_add` with `user:` is worth something."""
    wanted = capabilities((*defaults.CAPABILITIES, "CAP_NET_ADMIN"), ambient=("CAP_NET_ADMIN",))
    ended = machine.shell(
        "grep -E 'Cap(Eff|Amb)' /proc/self/status; ip link set lo mtu 5000 && cat /sys/class/net/lo/mtu",
        user={"uid": 1000, "gid": 1000},
        capabilities=wanted,
    )
    lines = ended.out.split()
    assert int(lines[1], 16) == int(lines[3], 16) == 1 << 12
    assert lines[4] == "5000"


@pytest.mark.kernel
def test_an_id_out_of_range_is_named(machine: Machine) -> None:
    """65536 ids are mapped; the next one is an error that says so."""
    with pytest.raises(StartError, match="70000:70000"):
        machine.shell("true", user={"uid": 70000, "gid": 70000})


@pytest.mark.kernel
def test_passwd_of_an_image_may_be_a_trap(machine: Machine) -> None:
    """A FIFO is not waited for, and a link does not lead to the host's file."""
    upper = machine.folder / "roots" / "a" / "upper"
    machine.shell("rm /etc/passwd; mkfifo /etc/passwd")
    with pytest.raises(StartError, match="no regular file"):
        machine.shell("true", user={"uid": 0, "gid": 0, "username": "web"})
    os.unlink(upper / "etc" / "passwd")
    outside = machine.folder / "passwd"
    outside.write_text("web:x:33:34::/:/bin/sh\n")
    os.symlink(outside, upper / "etc" / "passwd")
    with pytest.raises(StartError, match="no user 'web'"):
        machine.shell("true", user={"uid": 0, "gid": 0, "username": "web"})
