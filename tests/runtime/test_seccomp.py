"""The filter: what the compiler makes of a profile, and what the shipped one says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.plan.defaults import ALL_CAPABILITIES, CAPABILITIES
from orchestra.runtime import seccomp
from orchestra.runtime.seccomp import bpf, compiler

from .conftest import Machine, words

HERE = Path(seccomp.HERE)
NUMBERS: dict[str, dict[str, int]] = json.loads((HERE / "numbers.json").read_text())
DEFAULT = (HERE / "default.json").read_bytes()
ALLOW, EPERM, ENOSYS, NO_FAMILY, KILL = 0x7FFF0000, 0x50001, 0x50026, 0x50061, 0x80000000
MACHINES = tuple(NUMBERS)
WORDS = st.integers(0, 2**64 - 1)
ARGUMENTS = st.tuples(*[WORDS] * 6)


def answer(programs: list[bytes], machine: str, number: int, arguments: tuple[int, ...] = (0,) * 6) -> int:
    """The strictest of the programs' answers, as the kernel takes it."""
    arch = compiler.ARCHITECTURES[machine]
    answers = [bpf.run(program, number, arch, arguments) for program in programs]
    return min(answers, key=lambda value: -1 if value == KILL else value)


def shipped(machine: str) -> list[bytes]:
    return seccomp.unpack(Path(seccomp.shipped(machine)).read_bytes())


def call(machine: str, name: str, *arguments: int) -> int:
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    return answer(shipped(machine), machine, NUMBERS[machine][name], padded)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("set_id", [True, False])
def test_the_shipped_bytes_are_what_the_profile_compiles_to(machine: str, set_id: bool) -> None:
    """`python -m orchestra.runtime.seccomp` writes them anew. Whether files may be given capabilities is all one."""
    ready = Path(seccomp.shipped(machine, set_id)).read_bytes()
    assert ready == seccomp.build(DEFAULT, CAPABILITIES, machine, set_id)
    assert ready == seccomp.build(DEFAULT, {*CAPABILITIES} - {seccomp.SETFCAP}, machine, set_id)


SET_ID = (0o4755, 0o4000, 0o2755, 0o2010, 0o2644, 0o6711, 0o104755)
"""Modes of programs that run as their owner or group, or become such with a mere chmod u+x, or an ACL."""
PLAIN = (0o755, 0o1777, 0o644, 0o600, 0)
CREAT, TMPFILE = 0o100, 0o20000000
_BEFORE_MODE: tuple[tuple[str, tuple[int, ...]], ...] = (
    *(("chmod", (0,)), ("fchmod", (0,)), ("fchmodat", (0, 0)), ("fchmodat2", (0, 0)), ("creat", (0,))),
    *(("mknod", (0,)), ("mknodat", (0, 0)), ("open", (0, CREAT | 1)), ("open", (0, TMPFILE | 1))),
    *(("openat", (0, 0, CREAT | 1)), ("openat", (0, 0, TMPFILE | 1))),
)


@pytest.mark.parametrize("machine", MACHINES)
def test_where_set_id_is_refused_each_way_to_it_is(machine: str) -> None:
    """Modes that mean nothing (open without O_CREAT) are not looked at; what cannot be looked at is not there."""
    programs = seccomp.unpack(Path(seccomp.shipped(machine, set_id=False)).read_bytes())

    def told(name: str, *arguments: int) -> int:
        return answer(programs, machine, NUMBERS[machine][name], (*arguments, *(0,) * (6 - len(arguments))))

    ways = [(name, before) for name, before in _BEFORE_MODE if name in NUMBERS[machine]]
    assert len(ways) >= 5
    for name, before in ways:
        assert {told(name, *before, mode) for mode in SET_ID} == {EPERM}, name
        assert EPERM not in {told(name, *before, mode) for mode in PLAIN}, name
    assert told("openat", 0, 0, 2, 0o4755) == ALLOW
    assert (told("openat2"), told("io_uring_setup")) == (ENOSYS, EPERM)


@pytest.mark.parametrize("machine", MACHINES)
def test_ordinary_calls_pass(machine: str) -> None:
    """Everything that servers, shells, debuggers and language runtimes use."""
    for name in words("read write openat execve futex ptrace mmap io_submit seccomp landlock_create_ruleset chroot"):
        assert call(machine, name) == ALLOW, name
    assert call(machine, "clone", 0x3D0F00) == ALLOW  # a thread
    assert call(machine, "ioctl", 0, 0x5413) == ALLOW
    assert call(machine, "setsockopt", 3, 6, 1) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "name",
    words(
        "mount umount2 move_mount open_tree fsopen mount_setattr pivot_root unshare setns bpf keyctl "
        "add_key request_key perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register "
        "kexec_load init_module open_by_handle_at fanotify_init kcmp pidfd_getfd process_madvise reboot "
        "swapon settimeofday syslog quotactl sethostname acct vhangup clock_settime"
    ),
)
def test_dangerous_calls_are_refused(machine: str, name: str) -> None:
    """By default, with EPERM, whatever their arguments."""
    assert call(machine, name, *(0xFFFFFFFF,) * 6) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
@given(family=st.integers(0, 60), high=st.integers(0, 2**32 - 1))
def test_socket_families_are_compared_as_the_kernel_does(machine: str, family: int, high: int) -> None:
    """The kernel takes 32 bits of the family: others make no difference to the filter either."""
    expected = ALLOW if family in (1, 2, 10, 16) else NO_FAMILY
    assert call(machine, "socket", family | high << 32, 1, 0) == expected


@pytest.mark.parametrize("machine", MACHINES)
@given(high=st.integers(0, 2**32 - 1), request_=st.sampled_from([0x5412, 0x541C]), fd=WORDS)
def test_nobody_types_into_a_terminal(machine: str, high: int, request_: int, fd: int) -> None:
    """TIOCSTI and TIOCLINUX, with any high bits."""
    assert call(machine, "ioctl", fd, request_ | high << 32) == EPERM
    assert call(machine, "setsockopt", fd, 6 | high << 32, 31 | high << 32) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
@given(flags=WORDS)
def test_clone_makes_no_namespace(machine: str, flags: int) -> None:
    """Any namespace flag in the low half is refused; clone3 is not there at all, so that libraries fall back."""
    namespaces = 0x7E020080
    assert call(machine, "clone", flags) == (EPERM if flags & namespaces else ALLOW)
    assert call(machine, "clone3", flags) == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
@given(number=st.integers(-(2**31), 2**31 - 1), arguments=ARGUMENTS, architecture=st.integers(0, 2**32 - 1))
def test_another_abi_is_deadly_and_the_unknown_is_not_there(
    machine: str, number: int, arguments: tuple[int, ...], architecture: int
) -> None:
    """The native architecture alone; numbers that nobody knew when the list was made answer as on an old kernel."""
    program = shipped(machine)[0]
    native = compiler.ARCHITECTURES[machine]
    if architecture != native:
        assert bpf.run(program, number, architecture, arguments) == KILL
    if number not in NUMBERS[machine].values():
        assert bpf.run(program, number, native, arguments) == ENOSYS


CONDITIONS = st.fixed_dictionaries(
    {
        "index": st.integers(0, 5),
        "op": st.sampled_from(["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"]).map("SCMP_CMP_{}".format),
        "value": st.one_of(st.integers(0, 3), WORDS, st.integers(2**32 - 2, 2**32 + 2)),
        "valueTwo": st.one_of(st.just(0), WORDS),
    }
)
RULES = st.lists(
    st.fixed_dictionaries(
        {
            "names": st.lists(st.sampled_from(sorted(NUMBERS["x86_64"])), min_size=1, max_size=6),
            "action": st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_LOG", "SCMP_ACT_KILL_PROCESS"]),
            "args": st.one_of(st.just([]), st.lists(CONDITIONS, max_size=3, unique_by=lambda c: c["index"])),
        }
    ),
    max_size=40,
)


@given(rules=RULES, arguments=st.tuples(*[st.one_of(st.integers(0, 3), WORDS)] * 6))
def test_a_compiled_profile_means_what_it_says(rules: list[dict[str, Any]], arguments: tuple[int, ...]) -> None:
    """For every call that is named, the program answers as reading the rules one by one does."""
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}
    program = compiler.compile_profile(profile, (), "x86_64", NUMBERS["x86_64"])
    for name in {name for rule in rules for name in rule["names"]} | {"read", "execveat"}:
        number = NUMBERS["x86_64"][name]
        assert bpf.run(program, number, 0xC000003E, arguments) == read_aloud(rules, name, arguments), name


def read_aloud(rules: list[dict[str, Any]], name: str, arguments: tuple[int, ...]) -> int:
    actions = {"ALLOW": ALLOW, "ERRNO": EPERM, "LOG": 0x7FFC0000, "KILL_PROCESS": KILL}
    mine = [rule for rule in rules if name in rule["names"]]
    for rule in mine:
        if rule["args"] and all(holds(name, c, arguments) for c in rule["args"]):
            return actions[rule["action"].removeprefix("SCMP_ACT_")]
    plain = [actions[rule["action"].removeprefix("SCMP_ACT_")] for rule in mine if not rule["args"]]
    return next((action for action in plain if action != EPERM), EPERM)


def holds(name: str, condition: dict[str, Any], arguments: tuple[int, ...]) -> bool:
    index, value, second = condition["index"], condition["value"], condition["valueTwo"]
    seen = arguments[index]
    if index in compiler._NARROW.get(name, ()):
        seen, value, second = seen & 0xFFFFFFFF, value & 0xFFFFFFFF, second & 0xFFFFFFFF
    answers = {
        "EQ": seen == value,
        "NE": seen != value,
        "LT": seen < value,
        "LE": seen <= value,
        "GT": seen > value,
        "GE": seen >= value,
        "MASKED_EQ": seen & value == second,
    }
    return answers[condition["op"].removeprefix("SCMP_CMP_")]


@given(st.sets(st.sampled_from(ALL_CAPABILITIES)))
def test_a_capability_never_takes_a_call_away(capabilities: set[str]) -> None:
    """Whoever has more rights has at least the same calls."""
    numbers = NUMBERS["x86_64"]
    few = compiler.compile_profile(compiler.parse(DEFAULT), (), "x86_64", numbers)
    more = compiler.compile_profile(compiler.parse(DEFAULT), capabilities, "x86_64", numbers)
    for name, number in numbers.items():
        if bpf.run(few, number, 0xC000003E, (0,) * 6) == ALLOW:
            assert bpf.run(more, number, 0xC000003E, (0,) * 6) == ALLOW, name


def test_docker_s_dialect_is_understood() -> None:
    """archMap, includes by architecture and kernel, a null for no arguments, names of other architectures."""
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["read", "no_such_call"], "action": "SCMP_ACT_ALLOW", "args": None},
            {"names": ["write"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["kcmp"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
        ],
    }
    text = json.dumps(profile).encode()
    program = compiler.compile_profile(compiler.parse(text), (), "x86_64", NUMBERS["x86_64"])
    found = {
        n: bpf.run(program, NUMBERS["x86_64"][n], 0xC000003E, (0,) * 6) for n in ("read", "write", "ptrace", "kcmp")
    }
    assert found == {"read": ALLOW, "write": EPERM, "ptrace": ALLOW, "kcmp": EPERM}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"defaultAction": "SCMP_ACT_FLY"}'])
def test_what_is_no_profile_is_an_error(text: str) -> None:
    """Never an empty filter instead."""
    with pytest.raises(compiler.ProfileError):
        compiler.compile_profile(compiler.parse(text), (), "x86_64", NUMBERS["x86_64"])


@pytest.mark.parametrize("damage", [b"", b"junk", seccomp.MAGIC + b"\5\0\0\0abcde", seccomp.MAGIC + b"\x10\0\0\0abc"])
def test_a_damaged_file_is_an_error(damage: bytes) -> None:
    """Never a start without the filter that was asked for."""
    with pytest.raises(OSError, match="filter file"):
        seccomp.unpack(damage)


def test_filters_are_kept(tmp_path: Path) -> None:
    """Compiled once for each profile and set of capabilities; the defaults not at all."""
    folder = str(tmp_path)
    assert seccomp.ensure_filter(folder, "", CAPABILITIES) == seccomp.shipped(MACHINE)
    assert list(tmp_path.iterdir()) == []
    first = seccomp.ensure_filter(folder, "", (*CAPABILITIES, "CAP_SYS_ADMIN"))
    assert seccomp.ensure_filter(folder, "", ("CAP_SYS_ADMIN", *CAPABILITIES)) == first
    assert seccomp.ensure_filter(folder, "", ()) != first
    assert seccomp.ensure_filter(folder, "unconfined", ()) == ""
    assert seccomp.ensure_filter(folder, "", ALL_CAPABILITIES, privileged=True) == ""
    assert seccomp.ensure_filter(folder, "", CAPABILITIES, set_id=False) == seccomp.shipped(MACHINE, set_id=False)
    guarded = Path(seccomp.ensure_filter(folder, "unconfined", (), set_id=False))
    assert len(seccomp.unpack(guarded.read_bytes())) == 1


MACHINE = os.uname().machine


@pytest.mark.kernel
def test_the_kernel_takes_it_and_answers_the_same(machine: Machine) -> None:
    """Inside of a container the calls answer as the simulation says, high bits and all."""
    ended = machine.python(
        "import ctypes, socket\n"
        "c = ctypes.CDLL(None, use_errno=True)\n"
        f"n = {NUMBERS[MACHINE]!r}\n"
        "def call(name, *a):\n"
        "    r = c.syscall(n[name], *[ctypes.c_long(x) for x in a])\n"
        "    return 0 if r >= 0 else ctypes.get_errno()\n"
        "print([call('socket', f | h << 32, 2, 0) for f in (1, 2, 10, 17, 38, 40) for h in (0, 1)])\n"
        "print(call('clone3', 0, 0), call('unshare', 0x10000000), call('bpf', 0, 0, 0), call('clone', 0x10000011))\n"
        "s = socket.socket()\n"
        "print(call('setsockopt', s.fileno(), 6, 31), call('setsockopt', s.fileno(), 6 | 1 << 32, 31 | 1 << 40))\n"
        "print(call('keyctl', 0), call('io_uring_setup', 1, 0), c.syscall(9999), ctypes.get_errno())\n"
    )
    assert ended.out.splitlines() == [
        "[0, 0, 0, 0, 0, 0, 97, 97, 97, 97, 97, 97]",
        "38 1 1 1",
        "1 1",
        "1 1 -1 38",
    ]


@pytest.mark.kernel
@pytest.mark.parametrize("uid", [0, 33])
def test_new_privileges_do_not_switch_it_off(machine: Machine, uid: int) -> None:
    """`no-new-privileges:false` loads the filter while that is still allowed."""
    ended = machine.shell(
        "grep -E '^(Seccomp_filters|NoNewPrivs)' /proc/self/status",
        noNewPrivileges=False,
        user={"uid": uid, "gid": uid},
    )
    assert ended.out.split() == ["NoNewPrivs:", "0", "Seccomp_filters:", "2"]


@pytest.mark.kernel
def test_a_profile_of_one_s_own_is_loaded(machine: Machine) -> None:
    """`security_opt: seccomp=file.json`: it replaces the default, not the denials."""
    profile = machine.folder / "own.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    path = seccomp.ensure_filter(str(machine.folder), str(profile), CAPABILITIES)
    ended = machine.shell("mkdir /tmp/x; grep Seccomp_filters /proc/self/status", seccomp=path)
    assert "Operation not supported" in ended.out
    assert ended.out.endswith("Seccomp_filters:\t2\n")
