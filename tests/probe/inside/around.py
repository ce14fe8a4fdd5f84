"""Other processes, the network around, what the container learns of the host."""

import ctypes
import fcntl
import mmap
import os
import resource
import socket
import struct

from .attempts import CRITICAL, FACTS, HIGH, LOW, MEDIUM, NotHere, Refused, attempt, contents, syscall, whole

# Other processes


@attempt("processes", CRITICAL, "see processes of the host or of neighbours")
def see_others():
    names = {contents(f"/proc/{pid}/cmdline") for pid in os.listdir("/proc") if pid.isdigit()}
    marks = [mark.encode() for mark in FACTS.get("marks", ["orchestra-keeper", "dockerd", "systemd\0"])]
    if not [name for name in names if any(mark in name for mark in marks)]:
        raise Refused("its own only")


@attempt("processes", CRITICAL, "read what the starter of process 1 left")
def starter():
    found = b""
    for name in ("environ", "cmdline", "maps"):
        try:
            found += whole(f"/proc/1/{name}")
        except OSError:
            continue
    if not any(mark.encode() in found for mark in FACTS.get("secrets", ["ORCHESTRA_HOME"])):
        raise Refused("nothing of it")


def host_pid():
    """Of a process that is there on the host; by chance there may be one of that number in here."""
    pid = FACTS.get("host_pid", 1 << 22)
    if os.path.exists(f"/proc/{pid}"):
        raise Refused("another one has that number")
    return pid


@attempt("processes", HIGH, "signal a process of the host")
def signal_host():
    os.kill(host_pid(), 0)


@attempt("processes", HIGH, "trace a process of the host")
def trace_host():
    syscall("ptrace", 16, host_pid(), 0, 0)


@attempt("processes", HIGH, "read a process of the host")
def read_host():
    reach_memory(host_pid())


def reach_memory(pid):
    buffer = ctypes.create_string_buffer(8)
    vector = (ctypes.c_uint64 * 2)(ctypes.addressof(buffer), 8)
    syscall("process_vm_readv", pid, ctypes.addressof(vector), 1, ctypes.addressof(vector), 1, 0)


@attempt("processes", LOW, "run in real time")
def real_time():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


@attempt("processes", LOW, "run before all others (nice -20)")
def nice():
    os.setpriority(os.PRIO_PROCESS, 0, -20)


@attempt("processes", LOW, "read the disk before all others (ioprio real time)")
def ioprio():
    syscall("ioprio_set", 1, 0, 1 << 13)


@attempt("processes", LOW, "raise a hard limit")
def hard_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard + 1))
    except ValueError as error:
        raise Refused("not allowed") from error


@attempt("processes", MEDIUM, "have a core dumped by the host's handler")
def core():
    if resource.getrlimit(resource.RLIMIT_CORE)[0] == 1:  # with 0 a pipe gets it all the same
        raise Refused("no core")


@attempt("processes", LOW, "lock more memory than allowed")
def lock():
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return
    page = mmap.mmap(-1, 64 << 20)
    syscall("mlock", ctypes.addressof(ctypes.c_char.from_buffer(page)), 64 << 20)


# The network around


def connect(address, port, patience=1.5):
    with socket.create_connection((address, port), timeout=patience):
        pass


def to(key, severity, name):
    @attempt("network", severity, name)
    def reach_it():
        if key not in FACTS:
            raise NotHere
        for address, port in FACTS[key]:
            try:
                connect(address, port)
            except OSError as error:
                refusal = error
            else:
                return
        raise refusal


to("host_everywhere", HIGH, "reach a service of the host that listens on all addresses")
to("host_loopback", CRITICAL, "reach a service of the host that listens on its loopback")
to("neighbour_stack", HIGH, "reach a container of another stack")
to("neighbour_network", HIGH, "reach a container on a network that is not joined")
to("published_loopback", HIGH, "reach a port that is published for the host's loopback only")


@attempt("network", HIGH, "listen at the abstract sockets of the host")
def abstract():
    if "abstract" not in FACTS:
        raise NotHere
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + FACTS["abstract"])


@attempt("network", HIGH, "answer with the address of the name server")
def forge():
    if "gateway" not in FACTS:
        raise NotHere
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
        liar.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
        liar.bind((FACTS["gateway"], 53))
        liar.sendto(b"lie", (FACTS.get("peer", FACTS["gateway"]), 5353))


@attempt("network", HIGH, "send from any address (IP_TRANSPARENT)")
def transparent():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
        liar.setsockopt(socket.IPPROTO_IP, 19, 1)


@attempt("network", MEDIUM, "take over a neighbour's address (gratuitous ARP by SIOCSARP)")
def arp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("HH4s8xH6s8xi16s16s", 2, 0, bytes((10, 1, 2, 3)), 1, b"\2" * 6, 2, b"", b"eth0")
        fcntl.ioctl(control, 0x8955, request[:68].ljust(68, b"\0"))


@attempt("network", LOW, "see the host's interfaces")
def interfaces():
    mine = {"lo"} | {f"eth{number}" for number in range(8)}
    if not set(os.listdir("/sys/class/net")) - mine - {"tunl0", "sit0", "ip6tnl0", "bonding_masters"}:
        raise Refused("its own only")


@attempt("network", LOW, "accept router advertisements")
def advertisements():
    if contents("/proc/sys/net/ipv6/conf/eth0/accept_ra").strip() == b"0":
        raise Refused("accept_ra is 0")
    if contents("/proc/sys/net/ipv6/conf/eth0/disable_ipv6").strip() == b"1":
        raise Refused("no IPv6")


# What it learns of the host


@attempt("leaks", LOW, "see paths of the host in the list of mounts")
def paths():
    found = whole("/proc/self/mountinfo").decode()
    hits = [mark for mark in FACTS.get("host_paths", ["/var/lib/"]) if mark in found]
    if not hits:
        raise Refused("none")


@attempt("leaks", LOW, "learn the host's name")
def host_name():
    if socket.gethostname() != FACTS.get("hostname", ""):
        raise Refused("its own")


@attempt("leaks", HIGH, "read the host's password hashes")
def shadow():
    if not whole("/etc/shadow") or b"$" not in whole("/etc/shadow"):
        raise Refused("not the host's")


@attempt("leaks", MEDIUM, "inherit the environment of the host")
def environment():
    if not set(os.environ) & set(FACTS.get("environment", ["ORCHESTRA_HOME", "SSH_CONNECTION"])):
        raise Refused("nothing of it")


@attempt("leaks", LOW, "learn the host's machine id")
def machine_id():
    if not os.path.exists("/etc/machine-id") or not contents("/etc/machine-id").strip():
        raise Refused("not there")


@attempt("leaks", LOW, "see the neighbours' shared memory")
def shared_memory():
    if len(whole("/proc/sysvipc/shm").splitlines()) <= 1 and not os.listdir("/dev/shm"):
        raise Refused("none")


@attempt("files", HIGH, "write to the host's programs")
def programs():
    if not FACTS.get("host_usr"):
        raise NotHere
    with open("/usr/bin/probe-was-here", "w"):
        pass
    os.unlink("/usr/bin/probe-was-here")


@attempt("files", HIGH, "mark a file set-uid for root of the host")
def set_uid():
    path = "/tmp/set-uid"
    with open(path, "w"):
        pass
    os.chmod(path, 0o4755)
    if be_mapped():
        raise Refused("root inside is nobody outside")


def be_mapped():
    return contents("/proc/self/uid_map").split()[1] != b"0"
