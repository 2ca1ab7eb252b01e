"""Lines on logarithmic axes as an SVG file, and the slope of such a line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 440, 70, 210, 40, 50
COLOURS = ("#0b6e99", "#c2571a", "#3d8b37", "#8a4fa3")
DASHED = 'stroke-dasharray="6 4"'
PREFIXES = {-9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}


def slope(points: Points) -> float:
    """Of the straight line through the logarithms, by least squares: 1 is proportional."""
    xs, ys = ([math.log10(value) for value in values] for values in zip(*points, strict=True))
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)


def svg(title: str, x: str, lines: Mapping[str, Points], dashed: Sequence[str] = ()) -> str:
    """A drawing of seconds over something, with a legend; the axes go over whole powers of ten.

    Args:
        title: Above the drawing.
        x: What the lower axis counts.
        lines: Name -> (x, seconds) of each point, all above 0.
        dashed: Names of lines that are dashed; each takes the colour of the line before it.
    """
    xs, ys = zip(*(point for points in lines.values() for point in points), strict=True)
    across, up = powers(xs), powers(ys)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def place(point: tuple[float, float]) -> tuple[float, float]:
        a = (math.log10(point[0]) - across[0]) / (across[-1] - across[0])
        b = (math.log10(point[1]) - up[0]) / (up[-1] - up[0])
        return LEFT + a * (right - LEFT), bottom - b * (bottom - TOP)

    head = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {head}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(LEFT, TOP - 16, title, size=15),
        text((LEFT + right) / 2, HEIGHT - 10, x, anchor="middle"),
    ]
    for power in across:
        at, _ = place((10**power, 10 ** up[0]))
        parts.append(f'<path d="M{at:.1f} {TOP}V{bottom}" stroke="#ddd"/>')
        parts.append(text(at, bottom + 18, label(power), anchor="middle"))
    for power in up:
        _, at = place((10 ** across[0], 10**power))
        parts.append(f'<path d="M{LEFT} {at:.1f}H{right}" stroke="#ddd"/>')
        parts.append(text(LEFT - 8, at + 4, label(power, " s"), anchor="end"))
    colour = -1
    for row, (name, points) in enumerate(lines.items()):
        colour += name not in dashed
        solid = f'stroke="{COLOURS[colour % len(COLOURS)]}" stroke-width="2"'
        style = f"{solid} {DASHED}" if name in dashed else solid
        places = [place(point) for point in points]
        parts.append(f'<path d="M{" L".join(f"{a:.1f} {b:.1f}" for a, b in places)}" fill="none" {style}/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" {solid} fill="white"/>' for a, b in places]
        at = TOP + 8 + 20 * row
        parts.append(f'<path d="M{right + 12} {at}h26" {style}/>')
        parts.append(text(right + 44, at + 4, name))
    return "\n".join([*parts, "</svg>\n"])


def text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'


def powers(values: Sequence[float]) -> range:
    """The powers of ten that hold all of them, two at least."""
    low = math.floor(math.log10(min(values)))
    return range(low, max(low + 1, math.ceil(math.log10(max(values)))) + 1)


def label(power: int, unit: str = "") -> str:
    """10 ** power in few signs: 10k, 100 µs."""
    step = 3 * (power // 3)
    return f"{10 ** (power - step)}{unit[:1]}{PREFIXES[step]}{unit[1:]}"
