"""Ordinary use: each of these has to work."""

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import select
import signal
import socket
import struct
import tempfile
import threading
import time

from .attempts import (
    FACTS,
    LIBC,
    USE,
    Refused,
    attempt,
    contents,
    each,
    hierarchies,
    netlink,
    run_code,
    syscall,
    whole,
)

# Ordinary use: each of these has to work


def use(name):
    return attempt("ordinary use", USE, name)


def as_user(number, function):
    def run():
        os.setgroups([])
        os.setresgid(number, number, number)
        os.setresuid(number, number, number)
        function()

    return run


def reopen(path):
    with open(path, "w") as file:
        file.write("")


each("ordinary use", USE, "open /dev/stdout again (nginx logs)", reopen, "/dev/stderr")
each("ordinary use", USE, "the same as another user", as_user(33, lambda: reopen("/dev/stderr")))


@use("ping without privileges")
def ping():
    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as pinger:
            pinger.settimeout(2)
            pinger.sendto(struct.pack("!BBHHH", 8, 0, 0, 1, 1) + b"x" * 8, ("127.0.0.1", 0))
            pinger.recv(100)

    as_user(1000, send)()


@use("port 80 as a plain user")
def port_80():
    as_user(1000, lambda: socket.create_server(("0.0.0.0", 80)).close())()


@use("change owner, group and mode of files (apt, tar, dpkg)")
def change_owner():
    folder = tempfile.mkdtemp()
    path = f"{folder}/file"
    with open(path, "w"):
        pass
    for number in (0, 33, 42, 1000, 65534):
        os.chown(path, number, number)
    os.chmod(path, 0o2755)
    os.link(path, f"{folder}/hard")
    os.symlink(path, f"{folder}/soft")
    os.mkfifo(f"{folder}/pipe")
    os.rename(f"{folder}/hard", f"{folder}/other")
    os.setxattr(path, "user.kind", b"test")


@use("become another user for good (apt's _apt, su, daemons)")
def become():
    as_user(42, lambda: os.listdir("/"))()
    if os.getuid() != 42:
        raise Refused("did not become it")


@use("file capabilities (setcap)")
def file_capabilities():
    path = tempfile.mkstemp()[1]
    os.setxattr(path, "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0))


@use("chroot (daemons that lock themselves in)")
def lock_in():
    os.chroot(tempfile.mkdtemp())


@use("POSIX shared memory (PostgreSQL)")
def posix_memory():
    path = f"/dev/shm/postgres-{os.getpid()}"
    with open(path, "wb+") as file:
        file.truncate(16 << 20)
        with mmap.mmap(file.fileno(), 16 << 20) as memory:
            memory[:4] = b"data"
            memory[-4:] = b"data"
    os.unlink(path)


@use("System V shared memory and semaphores (PostgreSQL, Oracle)")
def system_v():
    segment = syscall("shmget", 0, 1 << 16, 0o1600)
    address = syscall("shmat", segment, 0, 0)
    ctypes.memset(address, 1, 1 << 16)
    syscall("shmctl", segment, 0, 0)
    syscall("semctl", syscall("semget", 0, 16, 0o1600), 0, 0, 0)


@use("durable writes (databases)")
def durable():
    fd, path = tempfile.mkstemp(dir="/var/tmp")
    os.posix_fallocate(fd, 0, 1 << 20)
    os.pwrite(fd, b"x" * 8192, 4096)
    os.fdatasync(fd)
    syscall("sync_file_range", fd, 0, 0, 7)
    fcntl.lockf(fd, fcntl.LOCK_EX)
    os.unlink(path)


@use("asynchronous files (MySQL's native AIO)")
def asynchronous():
    context = ctypes.c_uint64(0)
    syscall("io_setup", 8, ctypes.addressof(context))
    syscall("io_destroy", context.value)


@use("a just-in-time compiler (Java, V8)")
def compiler():
    if platform.machine() == "x86_64" and run_code(b"\xb8\x2a\x00\x00\x00\xc3") != 42:
        raise Refused("no code was run")
    syscall("membarrier", 0, 0, 0)
    os.sched_getaffinity(0)
    whole("/proc/self/maps")


@use("threads (clone3 falls back to clone)")
def threads():
    heard = []
    each_thread = [threading.Thread(target=heard.append, args=(1,)) for _ in range(8)]
    for thread in each_thread:
        thread.start()
    for thread in each_thread:
        thread.join()
    if len(heard) != 8:
        raise Refused("not all ran")


@use("epoll, eventfd, timerfd, signalfd, inotify, pidfd (Go, node, systemd's libraries)")
def events():
    select.epoll().close()
    os.close(syscall("eventfd2", 0, 0))
    os.close(syscall("timerfd_create", 1, 0))
    mask = ctypes.c_uint64(0)
    os.close(syscall("signalfd4", -1, ctypes.addressof(mask), 8, 0))
    os.close(syscall("inotify_init1", 0))
    os.close(os.pidfd_open(os.getpid()))
    syscall("getrandom", ctypes.addressof(ctypes.create_string_buffer(8)), 8, 0)


@use("list interfaces and addresses (Go's net.Interfaces, Java)")
def list_interfaces():
    netlink(0, 18, 0x301, struct.pack("Bxxx", 0) + b"\0" * 12)
    if "lo" not in [name for _, name in socket.if_nameindex()]:
        raise Refused("no loopback")


@use("trace a child of one's own (strace, gdb)")
def trace_child():
    child = os.fork()
    if child == 0:
        LIBC.ptrace(ctypes.c_long(0), 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(7)
    os.waitpid(child, 0)
    reach_memory_of(child)
    syscall("ptrace", 7, child, 0, 0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 7:
        raise Refused("the child ended in another way")


def reach_memory_of(pid):
    buffer, source = ctypes.create_string_buffer(8), ctypes.create_string_buffer(b"visible")
    local = (ctypes.c_uint64 * 2)(ctypes.addressof(buffer), 8)
    remote = (ctypes.c_uint64 * 2)(ctypes.addressof(source), 8)
    syscall("process_vm_readv", pid, ctypes.addressof(local), 1, ctypes.addressof(remote), 1, 0)


@use("attach to a running process of one's own")
def trace_seize():
    child = os.fork()
    if child == 0:
        time.sleep(30)
        os._exit(0)
    try:
        syscall("ptrace", 0x4206, child, 0, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@use("programs from memory (memfd, container tools, snap loaders)")
def from_memory():
    fd = os.memfd_create("program")
    os.write(fd, b"#!/bin/sh\nexit 3\n")
    os.set_inheritable(fd, True)
    child = os.fork()
    if child == 0:
        os.execv(f"/proc/self/fd/{fd}", ["program"])
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 3:
        raise Refused("it did not run")


@use("newer file calls (openat2, statx, copy_file_range, renameat2, faccessat2)")
def newer_files():
    fd, path = tempfile.mkstemp()
    os.write(fd, b"x" * 100)
    other = tempfile.mkstemp()[0]
    os.lseek(fd, 0, 0)
    os.copy_file_range(fd, other, 100)
    how = (ctypes.c_uint64 * 3)(0, 0, 0)
    name = ctypes.create_string_buffer(path.encode())
    os.close(syscall("openat2", -100, ctypes.addressof(name), ctypes.addressof(how), 24))
    syscall("faccessat2", -100, ctypes.addressof(name), 0, 0x200)
    os.open("/tmp", os.O_TMPFILE | os.O_RDWR)
    _reader, writer = os.pipe()
    os.lseek(fd, 0, 0)
    if os.splice(fd, writer, 100) != 100:
        raise Refused("splice moved less")


@use("a sandbox of one's own (seccomp, Landlock)")
def own_sandbox():
    LIBC.prctl(38, 1, 0, 0, 0)
    program = (ctypes.c_char * 8).from_buffer_copy(struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))
    description = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 1, ctypes.addressof(program)))
    syscall("seccomp", 1, 0, ctypes.addressof(description))
    try:
        syscall("landlock_create_ruleset", 0, 0, 1)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise


@use("sockets: unix with credentials, abstract names, multicast, fast open, a device")
def ordinary_sockets():
    one, other = socket.socketpair()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    one.sendmsg([b"x"], [(socket.SOL_SOCKET, 2, struct.pack("iII", os.getpid(), os.getuid(), os.getgid()))])
    with socket.socket(socket.AF_UNIX) as named:
        named.bind("\0probe-of-its-own")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as group:
        group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("224.0.0.251") + b"\x7f\0\0\1")
    with socket.socket() as quick:
        quick.setsockopt(socket.IPPROTO_TCP, 23, 5)


@use("POSIX message queues")
def queues():
    name = ctypes.create_string_buffer(b"probe")
    os.close(syscall("mq_open", ctypes.addressof(name), os.O_CREAT | os.O_RDWR, 0o600, 0))
    syscall("mq_unlink", ctypes.addressof(name))


@use("lock a little memory (gpg, redis, vault)")
def lock_little():
    page = mmap.mmap(-1, 8192)
    syscall("mlock", ctypes.addressof(ctypes.c_char.from_buffer(page)), 8192)


@use("be kinder, pin to a processor, batch")
def kinder():
    os.nice(5)
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


@use("see its own limits (Java, Go's automaxprocs)")
def own_limits():
    for path in hierarchies():
        for name in ("memory.limit_in_bytes", "memory.max", "pids.max"):
            if os.path.exists(f"{path}/{name}"):
                contents(f"{path}/{name}")
                return
    raise Refused("no limit to be read")


@use("write to /etc, /var, /tmp and /root")
def write_around():
    for folder in ("/etc", "/var/lib", "/var/log", "/tmp", "/root", "/run", "/home"):
        path = f"{folder}/probe-write"
        with open(path, "w"):
            pass
        os.unlink(path)


@use("a terminal of one's own (openpty: ssh, script, tmux)")
def own_terminal():
    master, slave = os.openpty()
    os.write(slave, b"hello")
    if not os.isatty(slave) or os.read(master, 5) != b"hello":
        raise Refused("no terminal")


@use("the name server")
def resolve():
    if "peer_name" in FACTS:
        socket.gethostbyname(FACTS["peer_name"])
