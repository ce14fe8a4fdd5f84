"""System calls, terminals and sockets that the filter or the kernel has to refuse."""

import ctypes
import fcntl
import os
import platform
import socket
import struct

from .attempts import (
    CRITICAL,
    HIGH,
    LIBC,
    LOW,
    MEDIUM,
    NotHere,
    attempt,
    each,
    family,
    netlink,
    reach,
    run_code,
    syscall,
    text,
)

# System calls

for _name, _severity, _arguments in (
    ("bpf", CRITICAL, (0, 0, 0)), ("perf_event_open", HIGH, (0, 0, -1, -1, 0)), ("userfaultfd", HIGH, (1 << 20,)),
    ("io_uring_setup", HIGH, (0, 0)), ("io_uring_enter", HIGH, (-1, 0, 0, 0, 0, 0)),
    ("io_uring_register", HIGH, (-1, 0, 0, 0)), ("keyctl", HIGH, (0, -3, 0, 0, 0)),
    ("add_key", HIGH, (0, 0, 0, 0, 0)), ("request_key", HIGH, (0, 0, 0, 0)),
    ("kexec_load", CRITICAL, (0, 1 << 20, 0, 0)),
    ("kexec_file_load", CRITICAL, (-1, -1, 0, 0, 1 << 20)), ("init_module", CRITICAL, (0, 0, 0)),
    ("finit_module", CRITICAL, (-1, 0, 0)), ("delete_module", CRITICAL, (0, 0)), ("quotactl", MEDIUM, (-1, 0, 0, 0)),
    ("quotactl_fd", MEDIUM, (-1, -1, 0, 0)), ("fanotify_init", MEDIUM, (1 << 30, 0)), ("kcmp", LOW, (1, 1, 99, 0, 0)),
    ("pidfd_getfd", HIGH, (-1, 0, 0)), ("process_madvise", LOW, (-1, 0, 0, 0, 0)), ("lookup_dcookie", LOW, (0, 0, 0)),
    ("acct", HIGH, (text(b"/nowhere/at/all"),)), ("swapon", HIGH, (0, 0)), ("swapoff", HIGH, (0,)),
    ("reboot", CRITICAL, (0, 0, 0, 0)), ("settimeofday", HIGH, (0, 1)), ("clock_settime", HIGH, (99, 0)),
    ("syslog", MEDIUM, (3, 0, 0)), ("iopl", HIGH, (9,)), ("ioperm", HIGH, (1 << 20, 1, 1)),
    ("modify_ldt", LOW, (99, 0, 0)), ("sethostname", LOW, (0, 1 << 20)), ("setdomainname", LOW, (0, 1 << 20)),
    ("move_pages", LOW, (0, 0, 0, 0, 0, 1 << 20)), ("mbind", LOW, (0, 0, 99, 0, 0, 0)),
    ("migrate_pages", LOW, (-1, 0, 0, 0)), ("nfsservctl", LOW, (0, 0, 0)), ("uselib", LOW, (0,)),
    ("ustat", LOW, (0, 0)), ("sysfs", LOW, (99, 0, 0)), ("vserver", LOW, (0, 0, 0, 0, 0)),
    ("personality", LOW, (0x0100000,)), ("lsm_set_self_attr", LOW, (0, 0, 0, 0)),
):  # fmt: skip
    each("system calls", _severity, f"call {_name}", reach, _name, *_arguments)
each("system calls", LOW, "personality with high bits", reach, "personality", 0x0100000 | 1 << 40)
each("system calls", MEDIUM, "hang a terminal up (vhangup)", syscall, "vhangup")


@attempt("system calls", HIGH, "call by the ABI of 32 bits")
def by_32_bits():
    if platform.machine() != "x86_64":
        raise NotHere
    code = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"  # mov eax, 20 (getpid); int 0x80; ret
    if run_code(code) != os.getpid():
        raise NotHere


@attempt("system calls", HIGH, "call by the x32 ABI")
def by_x32():
    if platform.machine() != "x86_64":
        raise NotHere
    result = LIBC.syscall(ctypes.c_long(0x40000000 | 39))
    if result != os.getpid():
        raise OSError(ctypes.get_errno(), "x32")


def terminal(request, high=0):
    """Type into a terminal of one's own, the controlling one."""
    slave = os.openpty()[1]
    os.setsid()
    fcntl.ioctl(slave, 0x540E, 0)
    reach("ioctl", slave, request | high << 32, text(b"\x02x"))


each("terminals", HIGH, "type into the terminal (TIOCSTI)", terminal, 0x5412)
each("terminals", HIGH, "TIOCSTI with high bits", terminal, 0x5412, 1)
each("terminals", HIGH, "paste into it (TIOCLINUX)", terminal, 0x541C)
each("terminals", HIGH, "TIOCLINUX with high bits", terminal, 0x541C, 1)

# Sockets

for _number, _name, _kind, _protocol, _severity in (
    (38, "AF_ALG", 5, 0, HIGH), (40, "AF_VSOCK", 1, 0, HIGH), (44, "AF_XDP", 3, 0, HIGH),
    (17, "AF_PACKET", 3, 0, HIGH),
    (17, "AF_PACKET, cooked", 2, 0, HIGH), (31, "AF_BLUETOOTH", 3, 1, MEDIUM), (29, "AF_CAN", 3, 1, MEDIUM),
    (30, "AF_TIPC", 5, 0, MEDIUM), (33, "AF_RXRPC", 2, 2, HIGH), (15, "AF_KEY", 3, 2, HIGH),
    (21, "AF_RDS", 5, 0, MEDIUM),
    (9, "AF_X25", 5, 0, LOW), (5, "AF_APPLETALK", 2, 0, LOW), (4, "AF_IPX", 2, 0, LOW), (3, "AF_AX25", 5, 0, LOW),
    (43, "AF_SMC", 1, 0, MEDIUM), (42, "AF_QIPCRTR", 2, 0, MEDIUM), (41, "AF_KCM", 2, 0, MEDIUM),
    (39, "AF_NFC", 3, 0, LOW), (26, "AF_LLC", 1, 0, LOW), (24, "AF_PPPOX", 1, 0, MEDIUM),
    (36, "AF_IEEE802154", 3, 0, LOW), (37, "AF_CAIF", 1, 0, LOW), (45, "AF_MCTP", 2, 0, LOW),
):  # fmt: skip
    each("sockets", _severity, f"a socket of family {_name}", family, _number, _kind, _protocol)
each("sockets", HIGH, "AF_VSOCK with high bits", family, 40, 1, 0, 1)
each("sockets", HIGH, "AF_ALG with high bits", family, 38, 5, 0, 1)
each("sockets", HIGH, "AF_PACKET with high bits", family, 17, 3, 0, 1)
each("sockets", HIGH, "a raw IPv4 socket", family, 2, 3, 1)
each("sockets", HIGH, "a raw IPv4 socket that writes headers", family, 2, 3, 255)
each("sockets", HIGH, "a raw IPv6 socket (router advertisements)", family, 10, 3, 58)
each("sockets", MEDIUM, "an SCTP socket", family, 2, 1, 132)
each("sockets", MEDIUM, "a DCCP socket", family, 2, 6, 33)


def protocol_over_tcp(high):
    """TCP_ULP: kernel TLS and what else hooks into TCP."""
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    name = ctypes.create_string_buffer(b"tls")
    reach("setsockopt", client.fileno(), 6 | high << 32, 31 | high << 32, ctypes.addressof(name), 3)


each("sockets", MEDIUM, "another protocol over TCP (TCP_ULP)", protocol_over_tcp, 0)
each("sockets", MEDIUM, "TCP_ULP with high bits", protocol_over_tcp, 1)


each(
    "sockets",
    HIGH,
    "make a link",
    netlink,
    0,
    16,
    0x605,
    struct.pack("BxHiII", 0, 0, 0, 0, 0) + struct.pack("HHHH8s", 16, 0x8000 | 18, 12, 1, b"bridge\0\0"),
)
each(
    "sockets",
    HIGH,
    "give the interface another address",
    netlink,
    0,
    20,
    0x605,
    struct.pack("BBBBI", 2, 24, 0, 0, 2)
    + struct.pack("HH4sHH4s", 8, 2, bytes((10, 9, 8, 7)), 8, 1, bytes((10, 9, 8, 7))),
)
each("sockets", HIGH, "change the firewall", netlink, 12, 16, 0x5, struct.pack("BBH", 0, 0, 10 << 8))
each("sockets", HIGH, "ask the kernel to transform packets (xfrm)", netlink, 6, 0x1D, 0x5, b"\0" * 8)
each("sockets", MEDIUM, "speak with the audit system", netlink, 9, 1001, 0x5, b"\0" * 32)


@attempt("sockets", HIGH, "set a queueing discipline")
def discipline():
    netlink(
        0,
        36,
        0x605,
        struct.pack("BxHiIII", 0, 0, 2, 0x10000, 0xFFFFFFFF, 0) + struct.pack("HH8s", 12, 1, b"pfifo\0\0\0"),
    )
