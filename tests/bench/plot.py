"""Polylines on a logarithmic axis, as SVG text: what docs/performance.md shows of shapes.py."""

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, TOP, LEGEND = 420, 220, 44, 34, 18
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#8250df", "#bf8700", "#0a7ea4", "#6e7781")


def panel(title: str, lines: Mapping[str, Mapping[int, float]], *, x: int) -> str:
    """One chart: milliseconds over sizes, each line with its name below."""
    sizes = sorted({size for line in lines.values() for size in line})
    highest = max(value for line in lines.values() for value in line.values()) * 1.1
    parts = [f'<g transform="translate({x},0)"><text x="{LEFT}" y="18" class="title">{escape(title)}</text>']
    for size in sizes:
        at = _x(size, sizes)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{TOP + HEIGHT}" class="grid"/>')
        parts.append(f'<text x="{at:.1f}" y="{TOP + HEIGHT + 14}" text-anchor="middle">{size:,}</text>')
    for step in range(5):
        at, value = TOP + HEIGHT * (1 - step / 4), highest * step / 4
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{at:.1f}" y2="{at:.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 4}" y="{at + 4:.1f}" text-anchor="end">{value:.2f}</text>')
    for number, (name, line) in enumerate(lines.items()):
        colour, below = COLOURS[number % len(COLOURS)], TOP + HEIGHT + 32 + LEGEND * number
        points = " ".join(f"{_x(size, sizes):.1f},{_y(value, highest):.1f}" for size, value in sorted(line.items()))
        parts.append(f'<polyline points="{points}" stroke="{colour}"/>')
        parts.append(f'<rect x="{LEFT}" y="{below - 8}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + 16}" y="{below + 1}">{escape(name)}</text>')
    return "\n".join([*parts, "</g>"])


def drawing(panels: Sequence[str], *, legends: int) -> str:
    """The panels side by side; ``legends`` is how many lines the fullest has."""
    width, height = len(panels) * (LEFT + WIDTH + 30), TOP + HEIGHT + 40 + LEGEND * legends
    style = (
        "text{font:11px sans-serif;fill:#57606a}.title{font-weight:bold}.grid{stroke:#d0d7de;stroke-width:.5}"
        "polyline{fill:none;stroke-width:2}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    back = f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    return "\n".join([head, f"<style>{style}</style>", back, *panels, "</svg>", ""])


def place(number: int) -> int:
    """Where a panel begins."""
    return number * (LEFT + WIDTH + 30)


def _x(size: int, sizes: Sequence[int]) -> float:
    low, high = math.log10(sizes[0]), math.log10(sizes[-1])
    return LEFT + WIDTH * ((math.log10(size) - low) / (high - low) if high > low else 0.5)


def _y(value: float, highest: float) -> float:
    return TOP + HEIGHT * (1 - value / highest)
