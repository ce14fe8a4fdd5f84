"""The keeper: answers the requests of `wire.keeping`, waits for every child, tells what ended."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections.abc import Callable

from ..errors import OrchestraError
from ..places import Places
from . import records
from .caretaker import Caretaker
from .claim import release
from .connection import Connection
from .container import Container
from .engine import Engine
from .errand import Failed, run
from .executions import Executions
from .holder import Holder
from .loop import Loop
from .presence import Overtaken, Presence
from .process import exit_status
from .starters import Start, Starters
from .store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]

SOONEST_LOOK = 0.002
STARTING_LOOK = 0.005
TERMINAL = "terminal:"
"""Masters of containers' terminals are in the store under this and the container's name. A supervisor that outlives
its keeper stores them again: that brings the log of an adopted container back to life."""
LAST_LOOK = 2.0
"""An adopted process is somebody else's child: how long to look for its exit code before it counts as unknown."""


class Keeper:
    def __init__(self, places: Places, loop: Loop, engine: Engine, caretaker: Caretaker, lock: int) -> None:
        self._places = places
        self._lock = lock
        self._presence: Presence | None = None
        self._loop = loop
        self._engine = engine
        self._caretaker = caretaker
        self._containers: dict[str, Container] = {}
        self._waited: dict[int, Callable[[int], None]] = {}
        self._early: dict[int, int] = {}
        """Statuses of children that ended before their errand's result was read."""
        self._errands = 0
        self._starters = Starters(loop, engine, self._errand_begun, self._errand_over)
        self._store = Store()
        self._holder = Holder(loop, places, self._hold_again)
        self._executions = Executions(loop, self._tell)
        self._connections: set[Connection] = set()
        self._acts: dict[str, Callable[[Connection, Message, list[int]], Message | None]] = {
            "sandbox": self._sandbox,
            "launch": self._launch,
            "exec": self._exec,
            "copy": self._copy,
            "signal": self._signal,
            "forget": self._forget,
            "children": self._children,
            "store": self._keep,
            "fetch": self._fetch,
            "drop": self._drop,
            "appear": self._appear,
            "quit": self._quit,
        }
        self._quitting = False

    def serve(self) -> None:
        """Until SIGTERM, or `quit` and the end of the supervisor."""
        self._adopt()
        self._holder.replace()
        self._presence = Presence(self._loop, self._places, self._lock, self._accept)
        self._caretaker.on_gone = self._no_supervisor
        self._caretaker.before_start = self.appear
        self._caretaker.start()
        self._engine.warm()
        self.reap()  # who ended before anybody listened for SIGCHLD
        self._loop.run()
        self._presence.close()
        for connection in list(self._connections):
            connection.close()
        for container in self._containers.values():
            container.close()
        if self._quitting:
            self._holder.end()
            release(self._places)

    def appear(self) -> bool:
        """Have everything in the run directory by which the keeper and its containers are found, should somebody
        have removed it. Whether that was so."""
        if self._presence is None or self._quitting:
            return False
        try:
            lacked = self._presence.restore()
        except Overtaken:
            sys.stderr.write("keeper: another keeper has taken over meanwhile\n")
            self._caretaker.end()
            self._loop.over = True
            return False
        except (OSError, OrchestraError) as error:
            sys.stderr.write(f"keeper: the run directory cannot be made again: {error}\n")
            return False
        unrecorded = [one for one in self._containers.values() if lacked or not one.recorded]
        for container in unrecorded:
            container.save()
        if lacked:
            self._holder.save()
        if lacked or unrecorded:
            self._caretaker.save()
        return lacked or bool(unrecorded)

    def called(self) -> None:
        """By SIGHUP: somebody does not find us, or our supervisor."""
        self.appear()
        self._tell({"event": "appear"})

    def reap(self) -> None:
        """Wait for every child that ended: containers, errands, the supervisor, orphans of any of them."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._caretaker.pid:
                self._caretaker.gone()
            elif call := self._waited.pop(pid, None):
                call(status)
            elif self._errands:
                self._early[pid] = status

    # Requests

    def _message(self, connection: Connection, message: Message, descriptors: list[int]) -> None:
        answer: Message | None
        try:
            act = self._acts.get(message["do"])
            if act is None:
                raise Failed("request", errno.ENOSYS, f"the keeper does not know {message['do']!r}")
            answer = act(connection, message, descriptors)
        except Failed as failed:
            answer = {"error": failed.failure}
        except OSError as error:
            answer = {"error": Failed("keeper", error.errno or 0, str(error)).failure}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            answer = {"error": Failed("request", errno.EINVAL, f"malformed request: {error!r}").failure}
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        if answer is not None:
            self._answer(connection, message, answer)

    def _answer(
        self, connection: Connection, request: Message, answer: Message, descriptors: list[int] | None = None
    ) -> None:
        head = {"re": request.get("id")} if "error" in answer else {"re": request.get("id"), "ok": True}
        connection.send({**head, **answer}, descriptors or ())

    def _sandbox(self, connection: Connection, message: Message, _: list[int]) -> None:
        sandboxes = message["sandboxes"]

        def work() -> tuple[Message, list[int]]:
            self._engine.sandbox(sandboxes)
            return {}, []

        self._errand(work, lambda result, _: self._answer(connection, message, result))

    def _launch(self, connection: Connection, message: Message, given: list[int]) -> None:
        name = _checked(message["name"])
        spec = message["spec"]
        before = self._containers.get(name)
        if before is not None and (before.starting or before.running):
            raise Failed("launch", errno.EBUSY, f"{name} runs already")
        if len(given) not in (0, 3):
            raise Failed("launch", errno.EINVAL, "launch takes three descriptors or none: stdin, stdout, stderr")
        with_stdin = bool(spec["orchestra"]["stdin"])
        container = Container(self._loop, self._places, self._holder, _record(message))
        container.save()
        container.open_log().begin(container.record["run"])
        try:
            stdio = [os.dup(descriptor) for descriptor in given]
            if not given:
                stdio = container.make_stdio(with_stdin)
        except OSError:
            container.failed(before)
            raise
        self._containers[name] = container

        def done(result: Message, masters: list[int]) -> None:
            if "error" in result:
                self._failed(container, before)
                self._answer(connection, message, result)
                return
            container.started(result["pid"])
            times = {"started": container.record["started"], "wall": container.record["wall"]}
            self._answer(connection, message, {**result, **times}, masters)
            for master in masters:
                self._store.put(TERMINAL + name, os.dup(master))
                container.read_terminal(master)
            self._await(result["pid"], lambda status: self._ended(container, status))

        self._starters.add(Start(spec, stdio, done))

    def _failed(self, container: Container, before: Container | None) -> None:
        container.failed(before)
        if before is None:
            del self._containers[container.name]
        else:
            self._containers[container.name] = before

    def _exec(self, connection: Connection, message: Message, descriptors: list[int]) -> None:
        container = self._running(_checked(message["name"]), "exec")
        process, seccomp, timeout = message["process"], message["seccomp"], float(message["timeout"])
        clean = bool(message.get("clean"))
        if clean and (process["terminal"] or timeout <= 0):
            raise Failed("exec", errno.EINVAL, "what is to leave nothing behind takes a timeout, and no terminal")
        stdio = [] if process["terminal"] else descriptors[:3]
        if not process["terminal"] and len(stdio) != 3:
            raise Failed("exec", errno.EINVAL, "exec needs three descriptors: stdin, stdout, stderr")
        pid, started, cgroup = (container.record[key] for key in ("pid", "start_time", "cgroup"))

        def work() -> tuple[Message, list[int]]:
            if clean:
                return self._engine.probe(pid, started, cgroup, process, seccomp, stdio, timeout)
            return self._engine.execute(pid, started, cgroup, process, seccomp, stdio)

        self._visit(connection, message, work, stdio, timeout, clean)

    def _copy(self, connection: Connection, message: Message, descriptors: list[int]) -> None:
        name, order = _checked(message["name"]), message["order"]
        if len(descriptors) != 3:
            raise Failed("copy", errno.EINVAL, "copy needs three descriptors: stdin, stdout, stderr")
        if (spec := message.get("spec")) is not None:
            known = self._containers.get(name)
            if known is not None and (known.starting or known.running):
                raise Failed("copy", errno.EBUSY, f"{name} runs")
            self._visit(
                connection, message, lambda: self._engine.copy_files(spec, order, descriptors), descriptors, 0.0
            )
            return
        container = self._running(name, "copy")
        pid, started, cgroup = (container.record[key] for key in ("pid", "start_time", "cgroup"))

        def work() -> tuple[Message, list[int]]:
            return self._engine.copy(pid, started, cgroup if message["counted"] else "", order, descriptors)

        self._visit(connection, message, work, descriptors, 0.0)

    def _visit(
        self,
        connection: Connection,
        message: Message,
        work: Callable[[], tuple[Message, list[int]]],
        stdio: list[int],
        timeout: float,
        clean: bool = False,
    ) -> None:
        """Whatever `work` starts beside the container's own processes, to its end."""

        def done(result: Message, masters: list[int]) -> None:
            self._answer(connection, message, result, masters)
            _close(masters)
            if "error" not in result:
                ended = self._executions.began(result["pid"], message["exec"], timeout, clean)
                self._await(result["pid"], ended)

        self._errand(work, done, stdio)

    def _signal(self, connection: Connection, message: Message, _: list[int]) -> Message | None:
        container = self._running(_checked(message["name"]), "signal")
        if not message["everyone"]:
            container.kill(int(message["signal"]))
            return {}
        self._kill_all(container.record["cgroup"], lambda result, _: self._answer(connection, message, result))
        return None

    def _forget(self, _: Connection, message: Message, __: list[int]) -> Message:
        known = [one for name in message["names"] if (one := self._containers.get(name))]
        for container in known:
            if container.starting or container.running:
                raise Failed("forget", errno.EBUSY, f"{container.name} still runs")
        for container in known:
            container.erase()
            del self._containers[container.name]
        return {}

    def _children(self, connection: Connection, message: Message, _: list[int]) -> None:
        """Once every start under way has come to its end: whoever asks would start such a container again."""
        if any(one.starting for one in self._containers.values()):
            self._loop.later(STARTING_LOOK, lambda: self._children(connection, message, []))
            return
        connection.listens = True
        self._answer(connection, message, {"children": [one.child() for one in self._containers.values()]})

    def _keep(self, _: Connection, message: Message, descriptors: list[int]) -> Message:
        if len(descriptors) != 1:
            raise Failed("store", errno.EINVAL, "store takes one descriptor")
        name = str(message["name"])
        container = self._containers.get(name.removeprefix(TERMINAL)) if name.startswith(TERMINAL) else None
        if container is not None and container.lost_its_terminal:
            container.read_terminal(os.dup(descriptors[0]))
        self._store.put(name, descriptors.pop())
        return {}

    def _fetch(self, connection: Connection, message: Message, _: list[int]) -> None:
        names, descriptors = self._store.all()
        self._answer(connection, message, {"names": names}, descriptors)

    def _drop(self, _: Connection, message: Message, __: list[int]) -> Message:
        for name in message["names"]:
            self._store.drop(str(name))
        return {}

    def _appear(self, _: Connection, __: Message, ___: list[int]) -> Message:
        return {"lacked": self.appear()}

    def _quit(self, _: Connection, __: Message, ___: list[int]) -> Message:
        for container in self._containers.values():
            if container.starting or container.running:
                raise Failed("quit", errno.EBUSY, f"{container.name} still runs")
        self._quitting = True
        self._caretaker.wanted = False
        if not self._caretaker.pid:
            self._loop.later(0, self._no_supervisor)
        return {}

    # Children

    def _kill_all(self, cgroup: str, done: Callable[[Message, list[int]], None]) -> None:
        def work() -> tuple[Message, list[int]]:
            self._engine.kill(cgroup)
            return {}, []

        self._errand(work, done)

    def _errand(
        self,
        work: Callable[[], tuple[Message, list[int]]],
        done: Callable[[Message, list[int]], None],
        keep: list[int] | None = None,
    ) -> None:
        def counted(result: Message, descriptors: list[int]) -> None:
            done(result, descriptors)
            self._errand_over()

        run(self._loop, work, counted, keep or ())
        self._errand_begun()

    def _errand_begun(self) -> None:
        self._errands += 1

    def _errand_over(self) -> None:
        self.reap()
        self._errands -= 1
        if not self._errands:
            self._early.clear()

    def _await(self, pid: int, call: Callable[[int], None]) -> None:
        """Have `call` told the status once this child ended, which it may have done already."""
        if pid in self._early:
            call(self._early.pop(pid))
        else:
            self._waited[pid] = call

    def _ended(self, container: Container, status: int | None) -> None:
        container.ended(status)
        self._store.drop(TERMINAL + container.name)
        self._tell({"event": "exited", "child": container.child()})

    def _adopt(self) -> None:
        """Take over what an earlier keeper left."""
        for record in records.load_all(self._places.children, self._places.cgroups):
            container = Container(self._loop, self._places, self._holder, record)
            self._containers[container.name] = container
            if container.record["ended"] is not None:
                continue
            if container.adopt():
                self._watch_adopted(container)
                continue
            if container.starting:
                # The keeper died in the midst of a start: what came of it, nobody knows the pid of.
                self._undo(container)
            else:
                container.ended(None)

    def _hold_again(self) -> None:
        for container in self._containers.values():
            if container.streams:
                container.hold()

    def _undo(self, container: Container) -> None:
        self._kill_all(container.record["cgroup"], lambda _, __: self._ended(container, None))

    def _watch_adopted(self, container: Container) -> None:
        self._loop.watch(container.pidfd, lambda _: self._adopted_ended(container, SOONEST_LOOK))

    def _adopted_ended(self, container: Container, delay: float) -> None:
        status = exit_status(container.pidfd, container.record["pid"], container.record["start_time"])
        if status is None and delay < LAST_LOOK:
            self._loop.forget(container.pidfd)
            self._loop.later(delay, lambda: self._adopted_ended(container, delay * 2))
        else:
            self._ended(container, status)

    def _running(self, name: str, step: str) -> Container:
        container = self._containers.get(name)
        if container is None or not container.running or container.pidfd < 0:
            raise Failed(step, errno.ESRCH, f"{name} does not run")
        return container

    # Clients

    def _accept(self, client: socket.socket) -> None:
        self._connections.add(Connection(self._loop, client, self._message, self._connections.discard))

    def _tell(self, event: Message) -> None:
        for connection in [one for one in self._connections if one.listens]:
            connection.send(event)

    def _no_supervisor(self) -> None:
        self._loop.over = True


def _checked(name: object) -> str:
    """A name that is safe as a part of a file name."""
    if not isinstance(name, str) or not name or name.startswith(".") or "/" in name or "\0" in name:
        raise Failed("request", errno.EINVAL, f"{name!r} cannot be a container's name")
    return name


def _record(message: Message) -> Message:
    return {
        "name": message["name"],
        "run": int(message["run"]),
        "pid": 0,
        "start_time": 0,
        "started": time.monotonic(),
        "wall": time.time(),
        "ended": None,
        "ended_wall": None,
        "code": None,
        "signal": None,
        "cgroup": message["spec"]["linux"]["cgroupsPath"],
        "note": message["note"],
        "log": message["log"],
        "terminal": bool(message["spec"]["process"]["terminal"]),
    }


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
    descriptors.clear()
