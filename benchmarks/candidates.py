"""Who is measured: orchestra, docker with docker compose, podman with podman-compose."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

import orchestra

from .sandbox import Failed, Sandbox, wait
from .stacks import Document

HYBRID = "/sys/fs/cgroup/unified"
COMPOSE = os.path.expanduser("~/.cache/orchestra-oracle/docker-compose")


class Candidate:
    name: str
    waits = True
    """Whether its `up` knows --wait, and its health checks work here."""

    def __init__(self, sandbox: Sandbox, base: Document, command: Sequence[str], folder: Path) -> None:
        self.sandbox = sandbox
        self.base = base
        self._command = command
        self._file = folder / "stack.yml"

    def use(self, stack: Document) -> None:
        self._file.write_text(yaml.safe_dump(stack, sort_keys=False))

    def words(self, *words: str) -> list[str]:
        return [*self._command, "-f", str(self._file), *words]

    def version(self) -> str:
        raise NotImplementedError

    def end(self) -> None:
        self.sandbox.end()


class Orchestra(Candidate):
    name = "orchestra"

    def __init__(self, folder: Path, root: Path) -> None:
        # A copy, compiled as pip does when it installs: work on a checkout shall not make us measure the compiler.
        package = folder / "installed/orchestra"
        checkout = Path(orchestra.__file__).parent
        shutil.copytree(checkout, package)
        if (schema := checkout.parent / "schema/stack.schema.json").exists():  # installed, it lies in the package
            shutil.copy(schema, package / "stack")
        subprocess.run([sys.executable, "-m", "compileall", "-q", package], check=True)
        script = checkout.parent / "scripts/orchestra"
        if not script.exists():
            script = Path(sys.executable).parent / "orchestra"
        environ = {"ORCHESTRA_HOME": str(folder / "home"), "PYTHONPATH": str(package.parent)}
        sandbox = Sandbox(self.name, environ, leaf="orchestra")
        keep_in_memory(sandbox, folder / "home/run")
        # -P: the current directory may hold another copy.
        super().__init__(sandbox, {"rootfs": str(root)}, [sys.executable, "-P", str(script)], folder)

    def version(self) -> str:
        return f"orchestra {orchestra.__version__}, Python {sys.version.split()[0]}"


class Docker(Candidate):
    name = "docker"

    def __init__(self, folder: Path, root: Path) -> None:
        compose = shutil.which("docker-compose") or shutil.which(COMPOSE)
        if not (compose and shutil.which("dockerd")):
            raise Failed("docker: dockerd or docker-compose is missing (Debian: docker.io)")
        socket = folder / "docker.sock"
        sandbox = Sandbox(self.name, {"DOCKER_HOST": f"unix://{socket}"})
        super().__init__(sandbox, {"image": "bench"}, [compose], folder)
        keep_in_memory(sandbox, folder / "exec")
        daemon = ["dockerd", f"--host=unix://{socket}", f"--data-root={folder}/data", f"--exec-root={folder}/exec"]
        daemon += [f"--pidfile={folder}/pid", f"--cgroup-parent=/{sandbox.parent}/below"]
        with open(folder / "log", "w") as log:
            sandbox.spawn(daemon, stdout=log, stderr=log)
        wait(socket.exists, "dockerd")
        self._docker = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker"
        sandbox.run([self._docker, "import", str(packed(root)), "bench"])

    def version(self) -> str:
        engine = self.sandbox.run([self._docker, "version", "--format", "{{.Server.Version}}"])
        return f"docker {engine.strip()}, {self.sandbox.run([*self._command, 'version']).strip()}"


class Podman(Candidate):
    name = "podman"
    waits = False  # its health checks need systemd's timers

    def __init__(self, folder: Path, root: Path) -> None:
        compose = shutil.which("podman-compose", path=f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
        if not (compose and shutil.which("podman")):
            raise Failed("podman: podman or podman-compose is missing (Debian: podman netavark aardvark-dns; pip)")
        settings = folder / "etc"
        shutil.copytree("/etc/containers", settings)
        (settings / "containers.conf").write_text(
            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            '[containers]\nlog_driver = "k8s-file"\n[network]\nnetwork_backend = "netavark"\n'
        )
        (folder / "lib").mkdir()
        sandbox = Sandbox(self.name, {})
        # At their usual paths, since what podman starts when a container ends looks for them there.
        sandbox.run(["mount", "--bind", str(settings), "/etc/containers"])
        os.makedirs("/var/lib/containers", exist_ok=True)
        sandbox.run(["mount", "--bind", f"{folder}/lib", "/var/lib/containers"])
        keep_in_memory(sandbox, Path("/run"))
        command = [compose, f"--podman-run-args=--cgroup-parent=/{sandbox.parent}/below"]
        super().__init__(sandbox, {"image": "localhost/bench"}, command, folder)
        if os.path.ismount(HYBRID):  # crun refuses to start anything beside it; only this sandbox loses sight of it
            sandbox.run(["umount", HYBRID])
        sandbox.run(["podman", "import", str(packed(root)), "localhost/bench"])

    def version(self) -> str:
        return ", ".join(self.sandbox.run([*self._command, "--version"]).split("\n")[:2])


def keep_in_memory(sandbox: Sandbox, run: Path) -> None:
    """What lies below /run on an ordinary machine is in a tmpfs, wherever this one has it."""
    run.mkdir(parents=True, exist_ok=True)
    sandbox.run(["mount", "-t", "tmpfs", "tmpfs", str(run)])


def packed(root: Path) -> Path:
    """The same tree as a tar, for those who want an image."""
    return Path(shutil.make_archive(str(root), "tar", root))


ALL: tuple[type[Orchestra | Docker | Podman], ...] = (Orchestra, Docker, Podman)
