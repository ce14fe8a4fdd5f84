"""Tries what should not be possible inside of a container, then what has to be: `python -m inside`.

Standard library only; runs in any container with a Python (see `stand.program`). Each attempt has a process of its
own. Prints JSON: {name: [group, severity, outcome, remark]}, outcome "blocked", "through", "absent" or, for ordinary
use, "works" or "broken".
"""

import errno
import json
import os
import select
import signal
import sys

from . import around, calls, confinement, machine, ordinary  # noqa: F401 - they register what they try
from .attempts import ATTEMPTS, USE, NotHere, Refused

PATIENCE = 6
"""Seconds for one attempt."""


def run(function):
    """In a process of its own: (outcome, remark)."""
    heard, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(heard)
        try:
            function()
            said = "through "
        except NotHere:
            said = "absent "
        except Refused as error:
            said = f"blocked {error}"
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, str(error))
            said = f"absent {name}" if error.errno == errno.ENODEV else f"blocked {name}"
        except Exception as error:  # noqa: BLE001 - a fault of the attempt itself
            said = f"fault {type(error).__name__}: {error}"
        os.write(say, said.encode()[:300])
        os._exit(0)
    os.close(say)
    ready = select.select([heard], [], [], PATIENCE)[0]
    said = os.read(heard, 400).decode(errors="replace") if ready else "blocked it hung"
    os.close(heard)
    os.kill(pid, signal.SIGKILL)
    code = os.waitpid(pid, 0)[1]
    if not said:
        said = f"blocked killed by signal {os.WTERMSIG(code)}" if os.WIFSIGNALED(code) else "fault ended"
    outcome, _, remark = said.partition(" ")
    return outcome, remark


def main():
    results = {}
    for group, severity, name, function in ATTEMPTS:
        outcome, remark = run(function)
        if severity == USE:
            outcome = {"through": "works", "blocked": "broken", "fault": "broken"}.get(outcome, outcome)
        results[name] = [group, severity, outcome, remark]
    json.dump(results, sys.stdout)


main()
