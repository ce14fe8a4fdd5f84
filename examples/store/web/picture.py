"""Draws a product from its own attributes: form, glaze, pattern, width and height.

A pot is a profile (how wide it is at which height) turned around its axis, so one drawing serves all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple
from zlib import crc32

from service.markup import Html, html

Point = tuple[float, float]

SIZE = 240  # of the picture, both ways
FLOOR = 206  # where a pot stands
LARGEST_MM = 360  # of what is sold
TILT = 0.2  # how much one looks down on it: a circle's height for its width

# Form: (height from the rim down, radius), both from 0 to 1.
PROFILES: dict[str, tuple[Point, ...]] = {
    "cup": ((0, 1), (0.3, 0.98), (0.7, 0.8), (0.92, 0.52), (1, 0.5)),
    "mug": ((0, 0.94), (0.2, 0.95), (0.5, 1), (0.85, 0.93), (1, 0.76)),
    "tumbler": ((0, 1), (0.5, 0.9), (0.9, 0.8), (1, 0.74)),
    "bowl": ((0, 1), (0.3, 0.93), (0.65, 0.7), (0.88, 0.4), (1, 0.38)),
    "planter": ((0, 1), (0.1, 1), (0.14, 0.93), (0.6, 0.83), (1, 0.66)),
    "vase": ((0, 0.56), (0.1, 0.46), (0.2, 0.56), (0.38, 0.96), (0.55, 0.98), (0.8, 0.66), (1, 0.48)),
    "bottle": ((0, 0.36), (0.08, 0.28), (0.34, 0.28), (0.5, 0.62), (0.68, 0.97), (0.86, 0.94), (1, 0.7)),
    "moon": ((0, 0.42), (0.05, 0.4), (0.14, 0.66), (0.34, 0.96), (0.52, 1), (0.72, 0.88), (0.92, 0.52), (1, 0.38)),
    "amphora": (
        (0, 0.5),
        (0.06, 0.38),
        (0.2, 0.36),
        (0.3, 0.62),
        (0.44, 0.96),
        (0.62, 0.88),
        (0.86, 0.44),
        (1, 0.36),
    ),
    "jug": ((0, 0.66), (0.12, 0.56), (0.28, 0.58), (0.55, 0.96), (0.72, 0.98), (0.9, 0.84), (1, 0.7)),
}

# Glaze: in the light, its own colour, in the shade.
GLAZES = {
    "ink": ("#5c7296", "#31435f", "#1b2638"),
    "honey": ("#eec06a", "#cd8f33", "#8a5a18"),
    "celadon": ("#cfe3d0", "#9cc0a6", "#64887a"),
    "rust": ("#d98a68", "#b4583b", "#74311f"),
    "sea": ("#7fc0c4", "#3f8c95", "#215660"),
    "cream": ("#fbf4e4", "#e9dcc3", "#b5a283"),
    "rose": ("#f0c8c2", "#d69a97", "#9a6163"),
}
CLAY = "#c79a78"


class Pot(NamedTuple):
    """A product, measured for the picture."""

    name: str
    form: str
    glaze: tuple[str, str, str]
    pattern: str
    seed: int
    width: float
    height: float

    @property
    def top(self) -> float:
        return FLOOR - self.height

    def radius(self, down: float) -> float:
        """Half the width at a height, between the points of the profile."""
        profile = PROFILES[self.form]
        for (above, wide), (below, narrow) in pairwise(profile):
            if down <= below:
                return (wide + (narrow - wide) * (down - above) / (below - above)) * self.width / 2
        return profile[-1][1] * self.width / 2

    def edge(self, side: float) -> list[Point]:
        """The outline on one side (-1 left, +1 right), or a line between the two."""
        return [(SIZE / 2 + side * r * self.width / 2, self.top + t * self.height) for t, r in PROFILES[self.form]]


def picture(product: Mapping[str, Any]) -> Html:
    """An inline SVG; its label says what there is to see."""
    label = f"{product['name']}: {product['glaze']} glaze, {product['pattern']}"
    pot = _measure(product)
    return html(
        '<svg viewBox="0 0 {size} {size}" role="img" aria-label="{label}">{drawing}</svg>',
        size=SIZE,
        label=label,
        drawing=_plate(pot) if product["form"] == "plate" else _pot(pot),
    )


def _measure(product: Mapping[str, Any]) -> Pot:
    width, height = float(product["width_mm"]), float(product["height_mm"])
    longest = max(width, height)
    # Small things are drawn smaller than large ones, but not as much smaller as they are.
    scale = 176 * (longest / LARGEST_MM) ** 0.35 / longest
    form = product["form"] if product["form"] in PROFILES else "vase"
    glaze = GLAZES.get(product["glaze"], GLAZES["cream"])
    sku = str(product["sku"])
    return Pot(f"p-{sku}", form, glaze, product["pattern"], crc32(sku.encode()), width * scale, height * scale)


def _pot(pot: Pot) -> Html:
    rim, foot = pot.radius(0), pot.radius(1)
    outline = (
        f"{_smooth(pot.edge(-1))} A {foot:.1f} {foot * TILT * 0.7:.1f} 0 0 0 {SIZE / 2 + foot:.1f} {FLOOR} "
        f"{_smooth(pot.edge(+1)[::-1], 'L')} Z"
    )
    return html(
        '<defs><clipPath id="{id}"><path d="{outline}"/><ellipse cx="{middle}" cy="{top}" rx="{rim}" ry="{tilt}"/>'
        "</clipPath>{light}</defs>"
        '<ellipse cx="{middle}" cy="{floor}" rx="{shadow}" ry="{shadow_tilt}" fill="url(#{id}-shadow)"/>'
        '{handles}<g clip-path="url(#{id})"><path d="{outline}" fill="{colour}"/>{pattern}'
        '<path d="{outline}" fill="url(#{id}-light)"/></g>'
        '<ellipse cx="{middle}" cy="{top}" rx="{rim}" ry="{tilt}" fill="{bright}"/>'
        '<ellipse cx="{middle}" cy="{inner_top}" rx="{inner}" ry="{inner_tilt}" fill="{dark}"/>',
        id=pot.name, outline=outline, middle=SIZE / 2, top=f"{pot.top:.1f}", floor=FLOOR + 1,
        rim=f"{rim:.1f}", tilt=f"{rim * TILT:.1f}", light=_light(pot),
        shadow=f"{foot * 1.3 + 20:.1f}", shadow_tilt=f"{foot * TILT * 0.8 + 9:.1f}",
        handles=_handles(pot), pattern=list(_pattern(pot)),
        colour=pot.glaze[1], bright=pot.glaze[0], dark=pot.glaze[2],
        inner=f"{rim * 0.92:.1f}", inner_top=f"{pot.top + rim * 0.015:.1f}", inner_tilt=f"{rim * TILT * 0.84:.1f}",
    )  # fmt: skip


def _light(pot: Pot) -> Html:
    """Light from the left and shade on the right make it round; the shadow puts it on the floor."""
    return html(
        '<linearGradient id="{id}-light"><stop offset="0" stop-color="#000" stop-opacity=".22"/>'
        '<stop offset=".1" stop-color="#000" stop-opacity="0"/><stop offset=".27" stop-color="#fff"'
        ' stop-opacity=".3"/><stop offset=".48" stop-color="#fff" stop-opacity="0"/>'
        '<stop offset=".62" stop-color="#000" stop-opacity=".05"/>'
        '<stop offset="1" stop-color="#000" stop-opacity=".45"/></linearGradient>'
        '<radialGradient id="{id}-shadow"><stop offset=".4" stop-color="#000" stop-opacity=".32"/>'
        '<stop offset="1" stop-color="#000" stop-opacity="0"/></radialGradient>',
        id=pot.name,
    )


def _handles(pot: Pot) -> list[Html]:
    sides = {"mug": (1,), "jug": (1,), "amphora": (-1, 1)}.get(pot.form, ())
    first, last = {"mug": (0.2, 0.74), "jug": (0.06, 0.58), "amphora": (0.08, 0.36)}.get(pot.form, (0, 0))
    return [_handle(pot, side, first, last) for side in sides]


def _handle(pot: Pot, side: int, first: float, last: float) -> Html:
    start, end = pot.top + first * pot.height, pot.top + last * pot.height
    reach = 0.04 if pot.form == "amphora" else 0.2
    out = SIZE / 2 + side * (pot.width / 2 + pot.height * reach)
    path = (
        f"M {SIZE / 2 + side * (pot.radius(first) - 3):.1f} {start:.1f} "
        f"C {out:.1f} {start - pot.height * 0.04:.1f} {out:.1f} {end:.1f} "
        f"{SIZE / 2 + side * (pot.radius(last) - 3):.1f} {end:.1f}"
    )
    return html(
        '<g fill="none" stroke-linecap="round"><path d="{path}" stroke="{dark}" stroke-width="{wide}"/>'
        '<path d="{path}" stroke="{colour}" stroke-width="{narrow}"/></g>',
        path=path, dark=pot.glaze[2], colour=pot.glaze[1],
        wide=f"{3 + pot.height * 0.045:.1f}", narrow=f"{1 + pot.height * 0.045:.1f}",
    )  # fmt: skip


def _pattern(pot: Pot) -> Iterator[Html]:
    """What is on the glaze; it is drawn within the outline of the pot."""
    if pot.pattern == "dipped":
        edge = pot.top + pot.height * 0.62
        sag = pot.width / 2 * TILT
        yield html(
            '<path d="M 0 {edge} Q {left} {deep} {middle} {low} T {size} {edge} V {size} H 0 Z" fill="{clay}"/>',
            edge=f"{edge:.1f}", left=SIZE / 4, deep=f"{edge + sag * 1.6:.1f}", middle=SIZE / 2,
            low=f"{edge + sag:.1f}", size=SIZE, clay=CLAY,
        )  # fmt: skip
    elif pot.pattern == "bands":
        for down in (0.4, 0.47, 0.54):
            r, y = pot.radius(down) + 2, pot.top + down * pot.height
            yield _stroke(
                f"M {SIZE / 2 - r:.1f} {y:.1f} A {r:.1f} {r * TILT:.1f} 0 0 0 {SIZE / 2 + r:.1f} {y:.1f}", pot
            )
    elif pot.pattern == "lines":
        for side in (-0.9, -0.66, -0.36, 0, 0.36, 0.66, 0.9):
            yield _stroke(_smooth(pot.edge(side)), pot, width=1.2)
    elif pot.pattern == "speckled":
        for x, y, size in _speckles(pot.seed, 70):
            yield _dot(SIZE / 2 + (x - 0.5) * pot.width, pot.top + y * pot.height, size, pot)


def _plate(pot: Pot) -> Html:
    """A plate is looked at from above."""
    r = pot.width / 2
    return html(
        '<defs><clipPath id="{id}"><circle cx="120" cy="120" r="{r}"/></clipPath>{light}</defs>'
        '<ellipse cx="126" cy="128" rx="{r}" ry="{r}" fill="#000" opacity=".16"/>'
        '<g clip-path="url(#{id})"><circle cx="120" cy="120" r="{r}" fill="{colour}"/>{pattern}</g>'
        '<circle cx="120" cy="120" r="{r}" fill="url(#{id}-light)" opacity=".55"/>'
        '<circle cx="120" cy="120" r="{well}" fill="#fff" fill-opacity=".1" stroke="{dark}" stroke-opacity=".4"'
        ' stroke-width="1.5"/><circle cx="120" cy="120" r="{edge}" fill="none" stroke="{bright}" stroke-width="2"/>',
        id=pot.name, r=f"{r:.1f}", well=f"{r * 0.7:.1f}", edge=f"{r - 1.5:.1f}", light=_light(pot),
        colour=pot.glaze[1], bright=pot.glaze[0], dark=pot.glaze[2], pattern=list(_plate_pattern(pot, r)),
    )  # fmt: skip


def _plate_pattern(pot: Pot, r: float) -> Iterator[Html]:
    if pot.pattern == "dipped":
        yield html('<path d="M 0 150 Q 70 {a} 130 128 T 240 90 V 240 H 0 Z" fill="{clay}"/>', a=170, clay=CLAY)
    elif pot.pattern in ("bands", "lines"):
        for share in (0.8, 0.87, 0.94) if pot.pattern == "bands" else (0.14, 0.26, 0.38, 0.5, 0.62):
            x, radius = 120 - r * share, r * share
            circle = f"M {x:.1f} 120 a {radius:.1f} {radius:.1f} 0 1 0 {2 * radius:.1f} 0 a {radius:.1f} {radius:.1f}"
            yield _stroke(f"{circle} 0 1 0 {-2 * radius:.1f} 0", pot, width=2.2 if pot.pattern == "bands" else 1)
    elif pot.pattern == "speckled":
        for x, y, size in _speckles(pot.seed, 90):
            yield _dot(120 + (x - 0.5) * 2 * r, 120 + (y - 0.5) * 2 * r, size, pot)


def _stroke(path: str, pot: Pot, width: float = 2.4) -> Html:
    return html(
        '<path d="{path}" fill="none" stroke="{dark}" stroke-opacity=".65" stroke-width="{width}"/>',
        path=path, dark=pot.glaze[2], width=width,
    )  # fmt: skip


def _dot(x: float, y: float, size: float, pot: Pot) -> Html:
    return html(
        '<circle cx="{x}" cy="{y}" r="{r}" fill="{dark}" opacity=".55"/>',
        x=f"{x:.1f}", y=f"{y:.1f}", r=f"{0.6 + size * 1.3:.1f}", dark=pot.glaze[2],
    )  # fmt: skip


def _speckles(seed: int, count: int) -> Iterator[tuple[float, float, float]]:
    """Numbers that look thrown by chance, and are the same in every picture of a product."""
    for _ in range(count):
        numbers = []
        for _ in range(3):
            seed = (seed * 1103515245 + 12345) % 2**31
            numbers.append((seed >> 8) / 2**23)
        yield numbers[0], numbers[1], numbers[2]


def _smooth(points: list[Point], begin: str = "M") -> str:
    """A smooth curve through the points (Catmull-Rom, written as Bézier pieces)."""
    path = f"{begin} {points[0][0]:.1f} {points[0][1]:.1f}"
    padded = [points[0], *points, points[-1]]
    for before, start, end, after in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        one = (start[0] + (end[0] - before[0]) / 6, start[1] + (end[1] - before[1]) / 6)
        two = (end[0] - (after[0] - start[0]) / 6, end[1] - (after[1] - start[1]) / 6)
        path += f" C {one[0]:.1f} {one[1]:.1f} {two[0]:.1f} {two[1]:.1f} {end[0]:.1f} {end[1]:.1f}"
    return path
