"""What an attempt is, and what several of them need.

An attempt is harmless where it succeeds: it asks with arguments that the kernel refuses by themselves, and a refusal
that comes from further in than "not permitted" counts as having come through.
"""

import ctypes
import errno
import json
import mmap
import os
import pkgutil
import platform
import socket
import struct

FACTS = json.loads(pkgutil.get_data(__package__, "facts.json") or "{}")
"""What the host knows: see `stand.py`."""
CRITICAL, HIGH, MEDIUM, LOW, USE = "critical", "high", "medium", "low", "use"
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
NUMBERS = FACTS.get("numbers", {}).get(platform.machine(), {})
ATTEMPTS = []


class NotHere(Exception):
    """This kernel or machine has nothing that could be tried."""


class Refused(Exception):
    """Something of ours stopped it, in words."""


def attempt(group, severity, name):
    """The function comes through by returning; OSError and Refused are a block, NotHere is no result."""

    def register(function):
        ATTEMPTS.append((group, severity, name, function))
        return function

    return register


def each(group, severity, name, function, *arguments):
    ATTEMPTS.append((group, severity, name, lambda: function(*arguments)))


def syscall(name, *arguments):
    """Raises OSError as the kernel or the filter answers."""
    if name not in NUMBERS:
        raise NotHere
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(NUMBERS[name]), *[ctypes.c_long(one) for one in arguments])
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def reach(name, *arguments):
    """Come through to the kernel's own code: any answer but "not permitted" and "no such call" tells that."""
    try:
        syscall(name, *arguments)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            if error.errno == errno.ENOSYS and name in FACTS.get("unknown_calls", ()):
                raise NotHere from error
            raise


KEPT = []


def text(value):
    """The address of these bytes."""
    KEPT.append(ctypes.create_string_buffer(value))
    return ctypes.addressof(KEPT[-1])


def contents(path):
    with open(path, "rb") as file:
        return file.read(4096)


def readable(path):
    """Bytes of it, that is: an empty file tells nothing."""
    if not FACTS.get("paths", {}).get(path, os.path.exists(path)):
        raise NotHere
    if os.path.isdir(path):
        if not os.listdir(path):
            raise Refused("empty")
    elif not contents(path):
        raise Refused("empty")


def writable(path):
    """Opening for writing is enough, nothing is written."""
    if not FACTS.get("paths", {}).get(path, os.path.exists(path)):
        raise NotHere
    os.close(os.open(path, os.O_WRONLY))


def make_folder(path):
    if not os.path.isdir(os.path.dirname(path)):
        raise NotHere
    os.mkdir(path)
    os.rmdir(path)


def family(number, kind=socket.SOCK_STREAM, protocol=0, high=0):
    """A socket of this family; a kernel without the family answers root on the host in the same way."""
    try:
        os.close(syscall("socket", number | high << 32, kind, protocol))
    except OSError as error:
        absent = (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT)
        known = [number, kind, protocol] in FACTS.get("families", [[number, kind, protocol]])
        if error.errno in absent and not known and FACTS.get("families_judged"):
            raise NotHere from error
        raise


def whole(path):
    with open(path, "rb") as file:
        return file.read()


def hierarchies():
    return [line.split()[4] for line in whole("/proc/self/mountinfo").decode().splitlines() if " - cgroup" in line]


def run_code(code):
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()


def netlink(protocol, kind, flags, body):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as link:
        link.settimeout(2)
        link.bind((0, 0))
        link.send(struct.pack("IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        answer = link.recv(4096)
        _, answered = struct.unpack_from("IH", answer)
        if answered == 2 and (code := struct.unpack_from("i", answer, 16)[0]):
            raise OSError(-code, os.strerror(-code))
