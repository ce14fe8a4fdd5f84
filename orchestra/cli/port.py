"""`orchestra port`: where a port of a container is published."""

from __future__ import annotations

import click

from orchestra.client import NotRunning
from orchestra.errors import OrchestraError

from .console import echo
from .listing import rows_of
from .options import Asked, FileFirst, project_options
from .project import find, need_services
from .words import how_many


@click.command(cls=FileFirst)
@click.argument("service")
@click.argument("private_port", type=int)
@click.option("--protocol", type=click.Choice(["tcp", "udp"]), default="tcp", show_default=True)
@click.option("--index", type=int, default=0, metavar="N", help="Of this replica.")
@project_options()
@click.pass_obj
def command(asked: Asked, service: str, private_port: int, protocol: str, index: int) -> None:
    """Print the address at which a container's port can be reached."""
    places = find(asked)
    rows = rows_of(places)
    if not rows:
        raise NotRunning(places.name)
    need_services(asked, [service], rows)
    for row in rows:
        if row["service"] != service or row["oneoff"] or (index and row["replica"] != index):
            continue
        for port in row["ports"]:
            nth = private_port - port["port"]
            if 0 <= nth < how_many(port) and port["protocol"] == protocol:
                address = port["host_ip"] or "0.0.0.0"
                echo(f"{f'[{address}]' if ':' in address else address}:{port['host_port'] + nth}")
                return
    raise OrchestraError(
        f"no port {private_port}/{protocol} of {service} is published", "orchestra ps shows what is published"
    )
