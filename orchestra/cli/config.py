"""`orchestra config`: check a stack file and print what it means."""

from __future__ import annotations

from typing import Any

import click

from orchestra.errors import OrchestraError
from orchestra.stack.files import Loaded, to_json, to_yaml
from orchestra.stack.interpolate import Asked as Spoken

from .console import data
from .options import IMAGES, Asked, not_yet, project_options, services_argument
from .project import load, refuse_unknown
from .table import table

VARIABLES = ("NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE")


@click.command()
@services_argument
@click.option("--format", "shape", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@click.option("-q", "--quiet", is_flag=True, help="Check only.")
@click.option("--services", "names", flag_value="services", help="Names of services, one a line.")
@click.option("--volumes", "names", flag_value="volumes", help="Names of volumes.")
@click.option("--networks", "names", flag_value="networks", help="Names of networks.")
@click.option("--profiles", "names", flag_value="profiles", help="Names of profiles.")
@click.option("--images", "names", flag_value="images", help="Names of images.")
@click.option("--variables", "names", flag_value="variables", help="Variables that the files speak of.")
@click.option("--environment", "names", flag_value="environment", help="What variables are filled in from.")
@click.option("--hash", "hashes", metavar="SERVICE,…|*", help="What changes when a container has to be replaced.")
@click.option("-o", "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write to a file.")
@not_yet("--no-interpolate")
@not_yet("--no-normalize")
@not_yet("--no-path-resolution")
@not_yet("--no-env-resolution")
@not_yet("--no-consistency")
@not_yet("--models")
@not_yet("--resolve-image-digests", because=IMAGES)
@not_yet("--lock-image-digests", because=IMAGES)
@project_options()
@click.pass_obj
def command(
    asked: Asked,
    services: tuple[str, ...],
    shape: str,
    quiet: bool,
    names: str | None,
    hashes: str | None,
    output: str | None,
) -> None:
    """Check a stack file and print it in full: merged, filled in, with defaults."""
    loaded = load(asked, services)
    refuse_unknown(services, loaded.model.get("services", {}))
    if quiet:
        return
    if hashes:
        text = hash_lines(loaded, hashes)
    elif names:
        text = "".join(f"{line}\n" for line in listed(loaded, names))
    else:
        text = rendered(narrowed(presentable(loaded.model), services), shape)
    if output:
        try:
            with open(output, "w") as file:
                file.write(text)
        except OSError as error:
            raise OrchestraError(
                f"cannot write {output}: {error.strerror}", "name a file elsewhere with -o"
            ) from None
    else:
        data(text)


def presentable(model: dict[str, Any]) -> dict[str, Any]:
    """Without what only receivers of alerts may know."""
    if "x-alerts" not in model:
        return model
    from orchestra.plan.masking import MASK
    from orchestra.stack.alerts import masked

    return masked(model, MASK)


def narrowed(model: dict[str, Any], services: tuple[str, ...]) -> dict[str, Any]:
    """The model with these services and what they depend on."""
    if not services:
        return model
    every, found, todo = model["services"], set[str](), list(services)
    while todo:
        name = todo.pop()
        if name in every and name not in found:
            found.add(name)
            todo += every[name].get("depends_on") or {}
    return {**model, "services": {name: each for name, each in every.items() if name in found}}


def rendered(model: dict[str, Any], shape: str) -> str:
    return to_json(model) + "\n" if shape == "json" else to_yaml(model)


def hash_lines(loaded: Loaded, wanted: str) -> str:
    services = loaded.stack.services
    chosen = sorted(services) if wanted == "*" else wanted.split(",")
    refuse_unknown(chosen, services)
    return "".join(f"{name} {services[name].config_hash}\n" for name in chosen)


def listed(loaded: Loaded, names: str) -> list[str]:
    model = loaded.model
    if names in ("services", "volumes", "networks"):
        return sorted(model.get(names) or {})
    if names == "images":
        return sorted({each["image"] for each in model["services"].values() if each.get("image")})
    if names == "profiles":
        return sorted(loaded.profiles)
    if names == "environment":
        return [f"{key}={value}" for key, value in sorted(loaded.variables.items())]
    if names == "variables":
        return table(VARIABLES, [variable(name, how) for name, how in sorted(loaded.asked.items())]).splitlines()
    raise OrchestraError(f"cannot list {names}")


def variable(name: str, how: Spoken) -> list[str]:
    """A line of `--variables`, in docker compose's columns."""
    return [name, str(how.required).lower(), how.default, how.replacement]
