"""Use as the kernel's files tell it, in the words of both versions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestra.runtime import cgroups
from orchestra.runtime.usage import usage

V2 = {
    "cpu.stat": "usage_usec 7000000\nuser_usec 3\nnr_periods 9\nnr_throttled 4\nthrottled_usec 1500000\n",
    "cpu.max": "50000 100000\n",
    "memory.current": "1000\n",
    "memory.stat": "anon 5\ninactive_file 300\nactive_file 7\n",
    "memory.max": "max\n",
    "memory.peak": "2000\n",
    "memory.events": "low 0\noom 2\noom_kill 3\n",
    "io.stat": "8:0 rbytes=100 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2 rios=1 wios=1\n",
    "memory.pressure": "some avg10=1.25 avg60=0.10 avg300=0.00 total=99\nfull avg10=0.50 avg60=0.00\n",
}
V1 = {
    "cpuacct.usage": "7000000000\n",
    "cpu.stat": "nr_periods 9\nnr_throttled 4\nthrottled_time 1500000000\nwait_sum 5\n",
    "cpu.cfs_quota_us": "-1\n",
    "cpu.cfs_period_us": "100000\n",
    "memory.usage_in_bytes": "1000\n",
    "memory.stat": "inactive_file 1\ntotal_cache 5\ntotal_inactive_file 300\ntotal_active_file 3\n",
    "memory.limit_in_bytes": "9223372036854771712\n",
    "memory.max_usage_in_bytes": "2000\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    "blkio.throttle.io_service_bytes_recursive": "8:0 Read 101\n8:0 Write 22\n8:0 Sync 9\n8:0 Total 123\nTotal 123\n",
    "memory.pressure": V2["memory.pressure"],
}


def _written(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder.parent


def test_v2_and_v1_say_the_same(tmp_path: Path) -> None:
    """Seconds, bytes, and None where nothing is counted or limited; the page cache at rest is not working set."""
    root = str(_written(tmp_path / "c", V2))
    new = usage(cgroups.V2(root), "c")
    assert new is not None
    assert (new.cpu, new.cpu_limit, new.throttled_periods, new.throttled) == (7.0, 0.5, 4, 1.5)
    assert (new.memory, new.working_set, new.memory_limit, new.memory_peak) == (1000, 700, None, 2000)
    assert new.oom_kills == 3
    assert (new.read, new.written, new.pids, new.pids_limit) == (101, 22, None, None)
    assert (new.pressure_cpu, new.pressure_memory) == (None, 1.25)
    (tmp_path / "old").mkdir()
    old_root = str(_written(tmp_path / "old" / "c", V1))
    roots = dict.fromkeys(("cpu", "cpuacct", "memory", "blkio"), old_root)
    old = usage(cgroups.V1(roots, old_root), "c")
    assert old is not None
    assert old.cpu_limit is None
    for field in ("cpu", "throttled", "throttled_periods", "memory", "working_set", "memory_limit", "memory_peak"):
        assert getattr(old, field) == getattr(new, field), field
    for field in ("oom_kills", "read", "written", "pids", "pressure_memory"):
        assert getattr(old, field) == getattr(new, field), field


def test_what_is_not_there_uses_nothing(tmp_path: Path) -> None:
    """A container that ended between two looks is no error."""
    assert usage(cgroups.V2(str(tmp_path)), "gone") is None
    assert usage(cgroups.V1({"memory": str(tmp_path)}, None), "gone") is None


@pytest.mark.kernel
def test_without_a_blkio_cgroup_the_processes_tell_what_they_wrote(tmp_path: Path) -> None:
    """Those that have ended and were waited for count as well."""
    driver = cgroups.driver()
    if os.geteuid() != 0 or not isinstance(driver, cgroups.V1) or not driver.unified:
        pytest.skip("needs root, and v1 with the unified hierarchy")
    path = f"orchestra-test-{os.getpid()}"
    driver.create(path, {})
    waiting, go = os.pipe()
    leader = os.fork()
    if leader == 0:
        driver.attach(path, os.getpid())
        os.read(waiting, 1)
        writer = os.fork()
        if writer == 0:
            with open("/var/tmp/orchestra-usage", "wb") as file:
                file.write(bytes(1 << 20))
            os._exit(0)
        os.waitpid(writer, 0)
        os.kill(os.getpid(), 19)
    try:
        before = None
        while before is None or before.written is None:
            before = usage(cgroups.V1({**driver.roots, "blkio": ""}, driver.unified), path)
        os.write(go, b"x")
        os.waitpid(leader, os.WUNTRACED)
        after = usage(cgroups.V1({**driver.roots, "blkio": ""}, driver.unified), path)
        assert after is not None
        assert before.written is not None
        assert (after.written or 0) - before.written >= 1 << 20
    finally:
        driver.kill(path)
        os.waitpid(leader, 0)
        driver.remove(path)
        os.unlink("/var/tmp/orchestra-usage")
        os.close(waiting)
        os.close(go)
