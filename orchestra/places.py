"""Where orchestra keeps things: pure names, nothing is touched.

The run directory holds what a reboot ends (sockets, FIFOs, namespace pins), the data directory what it does not
(volumes, logs, the wanted state). Root uses /run/orchestra and /var/lib/orchestra, others their XDG directories
(XDG Base Directory Specification); ORCHESTRA_HOME moves both.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Home:
    """The two directories of one installation."""

    __slots__ = ("data", "run")

    def __init__(self, run: str, data: str) -> None:
        self.run = run
        self.data = data

    @classmethod
    def of(cls, environ: Mapping[str, str], uid: int) -> Home:
        if moved := environ.get("ORCHESTRA_HOME"):
            moved = os.path.abspath(moved)
            return cls(f"{moved}/run", f"{moved}/data")
        if uid == 0:
            return cls("/run/orchestra", "/var/lib/orchestra")
        run = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}"
        data = environ.get("XDG_DATA_HOME") or f"{environ.get('HOME', '/')}/.local/share"
        return cls(f"{run}/orchestra", f"{data}/orchestra")

    @property
    def leases(self) -> str:
        """Id ranges, subnets and whatever else only one stack at a time may hold; a JSON file under flock."""
        return f"{self.data}/leases.json"

    @property
    def bases(self) -> str:
        """Root file system skeletons that containers share as their lowest layer."""
        return f"{self.data}/bases"

    @property
    def cache(self) -> str:
        return f"{self.data}/cache"

    @property
    def recipes(self) -> str:
        """What stack files were read as. Variables are filled in there, so it goes with the reboot like what runs."""
        return f"{self.run}/.recipes"

    @property
    def stacks(self) -> str:
        return f"{self.data}/stacks"

    @property
    def shares(self) -> str:
        """Leases on services of other stacks: a folder for each owner, in it a file for each user and service."""
        return f"{self.data}/shares"

    @property
    def networks(self) -> str:
        """External networks, a JSON file each."""
        return f"{self.data}/networks"

    def network(self, name: str) -> str:
        return f"{self.networks}/{name}.json"

    def network_run(self, name: str) -> str:
        """What of an external network is of this boot. The dot keeps it apart from the folders of stacks."""
        return f"{self.run}/.networks/{name}"

    def network_pin(self, name: str) -> str:
        return f"{self.network_run(name)}/router"

    def network_id(self, name: str) -> str:
        """Of an external network; see Places.network_id."""
        return short_id(self.run, "", "external", name, size=5)

    def volume(self, name: str) -> str:
        """The folder of a volume. Names are checked where they are read; whatever is removed is below `volumes`."""
        if "/" in name or name in ("", ".", ".."):
            raise ValueError(f"{name!r} is no name of a volume")
        return f"{self.data}/volumes/{name}/_data"

    def stack(self, name: str) -> Places:
        return Places(self, name)


class Places:
    """The paths and kernel names of one stack."""

    __slots__ = ("data", "home", "name", "run")

    def __init__(self, home: Home, name: str) -> None:
        self.home = home
        self.name = name
        self.run = f"{home.run}/{name}"
        self.data = f"{home.data}/stacks/{name}"

    @property
    def scope(self) -> str:
        """Two homes may run stacks of one name: what is named in the kernel is told apart by this."""
        return short_id(self.home.run, self.name, size=4)

    @property
    def keeper_socket(self) -> str:
        return f"{self.run}/keeper.sock"

    @property
    def api_socket(self) -> str:
        return f"{self.run}/api.sock"

    @property
    def boot(self) -> str:
        """Holds the boot id of the kernel that everything else in the run directory belongs to."""
        return f"{self.run}/boot"

    @property
    def lock(self) -> str:
        """Under flock while a command changes the stack; its text says which command."""
        return f"{self.run}/lock"

    @property
    def children(self) -> str:
        """The keeper's record of each container, one JSON file each."""
        return f"{self.run}/children"

    @property
    def fifos(self) -> str:
        return f"{self.run}/fifo"

    @property
    def pins(self) -> str:
        """Bind mounts that keep namespaces alive."""
        return f"{self.run}/ns"

    def user_pin(self, container: str) -> str:
        return f"{self.pins}/{container}.user"

    def net_pin(self, container: str) -> str:
        return f"{self.pins}/{container}.net"

    def router_pin(self, network: str) -> str:
        return f"{self.pins}/{network}.router"

    def files(self, container: str) -> str:
        """hosts, resolv.conf and hostname of a container."""
        return f"{self.run}/files/{container}"

    def root(self, container: str) -> str:
        """The container's own writable layer: upper and work."""
        return f"{self.data}/roots/{container}"

    def logs(self, container: str) -> str:
        return f"{self.data}/logs/{container}"

    @property
    def wanted(self) -> str:
        return f"{self.data}/wanted.json"

    @property
    def history(self) -> str:
        """Events, health and use over time: an SQLite file."""
        return f"{self.data}/history.db"

    @property
    def own_log(self) -> str:
        """What keeper and supervisor have to say about themselves."""
        return f"{self.data}/orchestra.log"

    def cgroup(self, container: str) -> str:
        """Below the root of each hierarchy."""
        return f"{self.cgroups}/{container}"

    @property
    def cgroups(self) -> str:
        """The parent of the containers' cgroups."""
        return f"orchestra/{self.name}-{self.scope}"

    def network_id(self, network: str) -> str:
        """Ten hex digits; `orc<id>` is the host's end of the uplink, `orchestra-<id>` the nft table."""
        return short_id(self.home.run, self.name, network, size=5)


def short_id(*parts: str, size: int) -> str:
    import hashlib  # costs more than everything else here, and most commands need no such name

    return hashlib.blake2b("\0".join(parts).encode(), digest_size=size).hexdigest()
