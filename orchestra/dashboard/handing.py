"""Hands the link to a browser.

The arguments of a process can be read by every user of the machine (proc(5), cmdline), and the link lets in whoever
is first. So the browser is given the path of a page that only its user can read and that leads on to the link, as
jupyter does. A browser in a sandbox (snap, flatpak) may not see that page; the link is in the terminal too.
"""

from __future__ import annotations

import contextlib
import html
import os
import pwd
import shutil
import subprocess
import tempfile
import webbrowser
from collections.abc import Iterator, Mapping
from pathlib import Path

PAGE = "open.html"
LEADING_ON = """<!doctype html><html lang="en"><meta charset="utf-8"><title>orchestra</title>
<meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0;url={link}">
<p><a href="{link}">To the dashboard</a>
"""
OPENER = "xdg-open"


def has_browser(environ: Mapping[str, str]) -> bool:
    """One with a window: a text browser in this terminal would be no pleasure."""
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def desktop_user(environ: Mapping[str, str], uid: int) -> pwd.struct_passwd | None:
    """Whose desktop it is, where root works on it for somebody else (sudo(8), pkexec(1)): browsers refuse root."""
    given = environ.get("SUDO_UID") or environ.get("PKEXEC_UID") or ""
    if uid or not (given.isascii() and given.isdigit() and int(given)):
        return None
    try:
        return pwd.getpwuid(int(given))
    except (KeyError, OverflowError):
        return None


@contextlib.contextmanager
def page_to(link: str, user: pwd.struct_passwd | None) -> Iterator[str]:
    """The path of a page that leads to the link, for one user's eyes; removed at the end."""
    # What root has as TMPDIR may be for root alone.
    folder = tempfile.mkdtemp(prefix="orchestra-", dir="/tmp" if user is not None else None)
    within = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        page = os.open(PAGE, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=within)
        with open(page, "w") as file:
            file.write(LEADING_ON.format(link=html.escape(link)))
            if user is not None:
                os.fchown(page, user.pw_uid, user.pw_gid)
        if user is not None:
            os.fchown(within, user.pw_uid, user.pw_gid)
        yield f"{folder}/{PAGE}"
    finally:
        with contextlib.suppress(OSError):  # gone already, or no longer as it was made
            os.unlink(PAGE, dir_fd=within)
            os.rmdir(folder)
        os.close(within)


def show(page: str, user: pwd.struct_passwd | None) -> None:
    """Open a page in the user's browser. Whether there is one is not told: the link is in the terminal."""
    address = Path(page).as_uri()
    if user is None:
        webbrowser.open(address)
    elif opener := shutil.which(OPENER):
        with contextlib.suppress(OSError):
            subprocess.run(
                [opener, address],
                env=environment_of(user, os.environ),
                cwd="/",
                user=user.pw_uid,
                group=user.pw_gid,
                extra_groups=os.getgrouplist(user.pw_name, user.pw_gid),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                check=False,
            )


def environment_of(user: pwd.struct_passwd, environ: Mapping[str, str]) -> dict[str, str]:
    """What root has of the desktop, and the user's own places."""
    runtime = f"/run/user/{user.pw_uid}"
    theirs = {
        "HOME": user.pw_dir,
        "USER": user.pw_name,
        "LOGNAME": user.pw_name,
        "XDG_RUNTIME_DIR": runtime,
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime}/bus",
    }
    kept = ("PATH", "LANG", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "BROWSER", "XDG_CURRENT_DESKTOP")
    return {**{key: environ[key] for key in kept if key in environ}, **theirs}
