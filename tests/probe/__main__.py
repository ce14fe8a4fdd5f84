"""What a container with the defaults can do, tried: `python -m tests.probe`, as root, in a clone.

Starts two small stacks, runs `inside` in a container of one, prints a table of what was tried and stopped.
With `--beside COMMAND` the same program goes to that command's stdin as well, for comparison, say
`--beside "docker run --rm -i python:3-slim python3 -"`. Ends with 1 if something grave came through, something
ordinary is broken, or something is weaker than what it is compared with.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does

from probe.score import Results, passes, table, weaker
from probe.stand import Stand


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.probe", description=__doc__.split("\n")[0])
    asked.add_argument("--json", action="store_true", help="print every result as JSON")
    asked.add_argument("--beside", metavar="COMMAND", help="run the same program there: reads Python from stdin")
    options = asked.parse_args()
    with Stand() as stand:
        results = stand.run()
        other: Results | None = None
        if options.beside:
            done = subprocess.run(
                shlex.split(options.beside),
                input=stand.program(plain=True),
                capture_output=True,
                text=True,
                check=True,
            )
            other = json.loads(done.stdout)
    if options.json:
        print(json.dumps({"orchestra": results, "beside": other}, indent=1))
    else:
        print(table(results, other))
    return 0 if passes(results) and not (other and weaker(results, other)) else 1


sys.exit(main())
