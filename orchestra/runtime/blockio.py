"""Weights and rates of disks, in the files of cgroup v1 (blkio-controller.rst) and v2 (cgroup-v2.rst, IO)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestra.wire.spec import BlockIO, DeviceRate


FILES_V1 = {
    "throttleReadBpsDevice": "blkio.throttle.read_bps_device",
    "throttleWriteBpsDevice": "blkio.throttle.write_bps_device",
    "throttleReadIOPSDevice": "blkio.throttle.read_iops_device",
    "throttleWriteIOPSDevice": "blkio.throttle.write_iops_device",
}
_V2 = {
    "throttleReadBpsDevice": "rbps",
    "throttleWriteBpsDevice": "wbps",
    "throttleReadIOPSDevice": "riops",
    "throttleWriteIOPSDevice": "wiops",
}
WEIGHTS_V1 = ("blkio.weight", "blkio.bfq.weight")
"""The first one that is there: of the old scheduler (before Linux 5.0), or of bfq."""
WEIGHTS_V2 = ("io.weight", "io.bfq.weight")
"""All that are there: which of them counts depends on each disk's scheduler."""


def rates_v1(asked: BlockIO) -> Iterator[tuple[str, str]]:
    """File and line for each rate; 0 lifts it."""
    for key, file in FILES_V1.items():
        for one in _rates(asked, key):
            yield file, f"{one['major']}:{one['minor']} {one['rate']}"


def rates_v2(asked: BlockIO) -> Iterator[tuple[str, str]]:
    """One line of io.max for each device."""
    devices: dict[str, list[str]] = {}
    for key, word in _V2.items():
        for one in _rates(asked, key):
            rate = str(one["rate"]) if one["rate"] else "max"
            devices.setdefault(f"{one['major']}:{one['minor']}", []).append(f"{word}={rate}")
    for device, words in devices.items():
        yield "io.max", f"{device} {' '.join(words)}"


def weights(asked: BlockIO, file: str) -> Iterator[tuple[str, str]]:
    """File and line for each weight, on the scale of that file: 10 to 1000, or 1 to 10000 for io.weight."""
    scaled = _of_ten_thousand if file == "io.weight" else int
    unified = file.startswith("io.")
    if (weight := asked.get("weight")) is not None:
        yield file, f"default {scaled(weight)}" if unified else str(weight)
    for one in asked.get("weightDevice", ()):
        of_devices = file if unified else f"{file}_device"
        yield of_devices, f"{one['major']}:{one['minor']} {scaled(one['weight'])}"


def _of_ten_thousand(weight: int) -> int:
    """10 to 1000 becomes 1 to 10000 (crun.1, cgroup v2)."""
    return 1 + (weight - 10) * 9999 // 990


def _rates(asked: BlockIO, key: str) -> Iterable[DeviceRate]:
    entries: Mapping[str, Iterable[DeviceRate]] = asked  # type: ignore[assignment]
    return entries.get(key, ())
