"""`rootfs: host`: the host's /usr, and around it a skeleton that is nobody's: private /etc, /var, /home, /root, /tmp.

The skeleton is a folder that all such containers share as their lowest layer. Of /etc it has what programs need to
run (where libraries are, certificates, names of protocols), copied when it is built, and nothing that tells about
this machine or its users: no shadow, no machine-id, no keys.

/usr is not idmapped. Its files are nobody's inside, so that a container's root may read and run there what everybody
may: as soon as user and group of a file are mapped, CAP_DAC_OVERRIDE counts (capable_wrt_inode_uidgid in the kernel),
and the owner's rights count as soon as the owner is.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import sys
from collections.abc import Iterator

from orchestra.plan.defaults import PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestra.wire.spec import Mount

VERSION = 2

_FOLDERS = {
    **dict.fromkeys(("usr", "etc", "proc", "sys", "dev", "home", "run", "mnt", "opt", "srv", "media", "app"), 0o755),
    **dict.fromkeys(("var", "var/cache", "var/lib", "var/log", "var/opt", "var/spool"), 0o755),
    **dict.fromkeys(("tmp", "var/tmp", "run/lock"), 0o1777),
    "root": 0o700,
}
_LINKS = {"var/run": "../run", "var/lock": "../run/lock", "etc/mtab": "../proc/self/mounts"}
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_EMPTY = ("etc/hosts", "etc/hostname", "etc/resolv.conf")
"""What the container's own files are mounted over."""

_COPIED = (
    *("alternatives", "ca-certificates", "ca-certificates.conf", "gai.conf", "host.conf", "inputrc", "ld.so.cache"),
    *("ld.so.conf", "ld.so.conf.d", "locale.alias", "locale.conf", "localtime", "magic", "mime.types", "netconfig"),
    *("networks", "os-release", "perl", "pki", "profile", "bash.bashrc", "protocols", "rpc", "services", "shells"),
    *("ssl", "terminfo", "timezone", "crypto-policies", "fonts"),
)
_COPIED_PREFIXES = ("python3", "java")
_LISTED = stat.S_IROTH | stat.S_IXOTH
_SECRET = frozenset(("private", "shadow", "gshadow"))  # etc/ssl/private, etc/pki/**/private

_PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
sys:x:3:3:sys:/dev:/usr/sbin/nologin
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUP = """\
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
mail:x:8:
www-data:x:33:
users:x:100:
nogroup:x:65534:
"""
_NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n"
_WRITTEN = {"etc/passwd": _PASSWD, "etc/group": _GROUP, "etc/nsswitch.conf": _NSSWITCH, "etc/issue": ""}


def host_base(directory: str) -> str:
    """The skeleton below `directory`, built once for each state of what it is made from."""
    base = f"{directory}/host-{_key()}"
    if os.path.isdir(base):
        return base
    os.makedirs(directory, 0o711, exist_ok=True)
    building = f"{base}.{os.urandom(4).hex()}"
    _build(building)
    try:
        os.rename(building, base)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        import shutil

        shutil.rmtree(building)  # somebody else was faster
    return base


def host_binds() -> list[Mount]:
    """What such a container sees of the host, read-only: /usr, and the running Python where that lives elsewhere."""
    binds = [_bind("/usr")]
    prefix = _python()
    if not _below(prefix, "/usr"):
        binds.append(_bind(prefix))
    if os.path.isdir("/usr/local/etc"):
        binds.append(
            {"destination": "/usr/local/etc", "type": "tmpfs", "source": "tmpfs", "options": ["ro", "size=4k"]}
        )
    return binds


def host_path() -> str:
    """PATH with the Python that runs orchestra first, so that `python3` is that one."""
    folder = f"{_python()}/bin"
    return PATH if folder in PATH.split(":") else f"{folder}:{PATH}"


def _python() -> str:
    """Of the interpreter itself: a virtual environment stays out of containers."""
    return os.path.realpath(sys.base_prefix)


def _bind(path: str) -> Mount:
    return {"destination": path, "type": "bind", "source": path, "options": ["ro", "rbind"]}


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _key() -> str:
    """Changes with anything that the skeleton is made from."""
    seen = [f"{VERSION} {_python()} {os.path.realpath('/etc/localtime')}"]
    for name in (*_copied(), "ssl/certs"):
        with contextlib.suppress(OSError):
            found = os.stat(f"/etc/{name}")
            seen.append(f"{name} {found.st_mtime_ns} {found.st_size} {found.st_mode}")
    return hashlib.blake2b("\n".join(seen).encode(), digest_size=8).hexdigest()


def _copied() -> list[str]:
    return [n for n in sorted(os.listdir("/etc")) if n in _COPIED or n.startswith(_COPIED_PREFIXES)]


def _build(base: str) -> None:
    os.mkdir(base)
    os.chmod(base, 0o755)
    for name, mode in _FOLDERS.items():
        os.mkdir(f"{base}/{name}")
        os.chmod(f"{base}/{name}", mode)
    for name in _MERGED:
        if os.path.islink(f"/{name}") or os.path.isdir(f"/usr/{name}"):
            os.symlink(f"usr/{name}", f"{base}/{name}")
    for name, target in _LINKS.items():
        os.symlink(target, f"{base}/{name}")
    for name in _copied():
        _copy(f"/etc/{name}", f"{base}/etc/{name}")
    for name, text in {**dict.fromkeys(_EMPTY, ""), **_WRITTEN}.items():
        _write(f"{base}/{name}", text.encode())
    _make_way(base)


def _make_way(base: str) -> None:
    """Folders on the way to a Python outside of /usr: empty, and open for any user of the container."""
    prefix = _python()
    if _below(prefix, "/usr"):
        return
    way = base
    for part in prefix.strip("/").split("/"):
        way = f"{way}/{part}"
        os.makedirs(way, exist_ok=True)
        os.chmod(way, 0o755)


def _copy(source: str, target: str) -> None:
    """A file, link or folder without its owner and without what not everybody may read."""
    with contextlib.suppress(OSError):  # unreadable or vanished: the container does without
        found = os.lstat(source)
        if stat.S_ISLNK(found.st_mode):
            _copy_link(source, target)
        elif stat.S_ISDIR(found.st_mode) and found.st_mode & _LISTED == _LISTED:
            os.mkdir(target)
            os.chmod(target, 0o755)
            for name in _harmless(source):
                _copy(f"{source}/{name}", f"{target}/{name}")
        elif stat.S_ISREG(found.st_mode) and found.st_mode & stat.S_IROTH:
            with open(source, "rb") as file:
                _write(target, file.read())


def _copy_link(source: str, target: str) -> None:
    """Links into /usr and beside themselves stay links; others would lead nowhere inside."""
    real = os.path.realpath(source)
    if _below(real, "/usr") or _below(real, "/etc"):
        os.symlink(os.readlink(source), target)


def _harmless(folder: str) -> Iterator[str]:
    return (name for name in sorted(os.listdir(folder)) if name not in _SECRET)


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, 0o644)
