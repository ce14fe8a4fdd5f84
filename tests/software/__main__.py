"""`python -m tests.software`: ordinary software in containers with the defaults, as root, in a clone.

A Debian is made once by debootstrap (installed here when it is missing) and kept in the cache directory; containers
have it as `rootfs`. Prints a table of what was done with each, and ends with 1 if something does not work. Takes two
minutes, and some more and 2 GB the first time. The trial of apt says so where a container does not reach the mirror.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does

from whole.stage import Stage, until

from software.trials import NO_WAY, PACKAGES, TRIALS, Trial

SUITE = "bookworm"
WORKS, FAILS, NOT_TRIED = "works", "FAILS", "not tried"
NOT_REACHED = "Debian's mirror is not reached from a container here"
PROGRAMS = Path(__file__).with_name("programs")
START = 120.0
"""Seconds that everything may take to be healthy at the same time on a slow machine."""


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.software", description=__doc__.split("\n")[0])
    options.add_argument("only", nargs="*", help="names of trials, otherwise all")
    options.add_argument("--anew", action="store_true", help="make the Debian anew")
    asked = options.parse_args()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "orchestra-software")
    if asked.anew:
        shutil.rmtree(cache, ignore_errors=True)
    root = made_root(cache)
    chosen = [trial for trial in TRIALS if not asked.only or trial.name in asked.only]
    if not chosen:
        sys.exit(f"there are: {' '.join(trial.name for trial in TRIALS)}")
    stage = Stage()
    try:
        bring_up(stage, root, chosen)
        verdicts = [shown(stage, trial) for trial in chosen]
    finally:
        stage.close()
    print(", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts)))
    return 1 if FAILS in verdicts else 0


def made_root(cache: Path) -> Path:
    """The folder of a Debian with all packages; nothing in it is started by their installation."""
    done = cache / f"{SUITE}-{hashlib.sha256(' '.join(PACKAGES).encode()).hexdigest()[:12]}"
    if done.is_dir():
        return done
    cache.mkdir(parents=True, exist_ok=True)
    if shutil.which("debootstrap") is None:
        run("apt-get", "update", "-q")
        run("apt-get", "install", "-qy", "--no-install-recommends", "debootstrap")
    with tempfile.TemporaryDirectory(prefix="making-", dir=cache) as folder:
        tree = Path(folder, "tree")
        print(f"making a Debian {SUITE} in {cache}", flush=True)
        run("debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, str(tree))
        policy = tree / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        resolver = tree / "etc/resolv.conf"
        shutil.copy("/etc/resolv.conf", resolver)
        install = 'mount -t proc proc proc && exec chroot . apt-get install -qy --no-install-recommends "$@"'
        run("unshare", "--mount", "--pid", "--fork", "sh", "-c", install, "sh", *PACKAGES, cwd=tree)
        resolver.unlink()
        tree.rename(done)
    return done


def bring_up(stage: Stage, root: Path, chosen: list[Trial]) -> None:
    common = {"rootfs": str(root), "volumes": [f"{PROGRAMS}:/programs:ro"], "stop_grace_period": "1s"}
    services = {trial.name: {**common, **trial.service} for trial in chosen}
    stage.write({"services": services})
    done = stage.run("up", "-d", timeout=START)
    if done.returncode:
        sys.exit(done.stderr)


def shown(stage: Stage, trial: Trial) -> str:
    """Try it, print its line, return the verdict."""
    said = tried(stage, trial)
    verdict = WORKS if not said else NOT_TRIED if said == NOT_REACHED else FAILS
    print(f"{trial.name:<10} {verdict:<10} {trial.does}", flush=True)
    if said:
        print("           " + said.replace("\n", "\n           "))
    return verdict


def tried(stage: Stage, trial: Trial) -> str:
    """ "" if it works, otherwise what was said."""
    for user, script in trial.scripts:
        done = stage.run("exec", "-T", "-u", user, trial.name, "sh", "-ec", script, timeout=START)
        if done.returncode == NO_WAY:
            return NOT_REACHED
        if done.returncode:
            return f"{script}\nended with {done.returncode}: {done.stdout}{done.stderr}{stage.logs(trial.name)}"
    if trial.logged:
        try:
            until(
                lambda: trial.logged in stage.logs(trial.name), f"{trial.name} logs {trial.logged!r}", trial.patience
            )
        except AssertionError as never:
            return f"{never}\n{stage.logs(trial.name)}"
    return ""


def run(*words: str, cwd: Path | None = None) -> None:
    """Raises SystemExit when it fails, with what it said."""
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        words, cwd=cwd, env=quiet, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{done.stdout[-3000:]}\n{' '.join(words[:3])} … ended with {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
