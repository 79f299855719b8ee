"""Plots as SVG text, by hand: the same figures give the same bytes, on every machine."""

from collections.abc import Mapping, Sequence
from html import escape

COLOURS = (
    "#1b6ca8",
    "#d1495b",
    "#3a7d44",
    "#edae49",
    "#6a4c93",
    "#00798c",
    "#8d6a4f",
    "#555555",
    "#c97c5d",
    "#86a873",
    "#b56576",
)
WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 64, 190, 34, 46


def _frame(title: str, x_label: str, y_label: str, body: list[str]) -> str:
    middle = (LEFT + WIDTH - RIGHT) / 2
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12"><title>{escape(title)}</title>'
    )
    upright = f"translate(14 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)"
    return "\n".join(
        [
            head,
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            f'<text x="{LEFT}" y="18" font-size="14" font-weight="bold">{escape(title)}</text>',
            f'<text x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>',
            f'<text transform="{upright}" text-anchor="middle">{escape(y_label)}</text>',
            *body,
            "</svg>",
        ]
    )


class _Scale:
    def __init__(self, xs: Sequence[float], ys: Sequence[float], *, floor: float | None = 0.0) -> None:
        self.x0, self.x1 = min(xs), max(xs)
        self.y0 = min(ys) if floor is None else min(floor, *ys)
        self.y1 = max(ys)
        if self.x1 == self.x0:
            self.x1 += 1
        if self.y1 == self.y0:
            self.y1 += 1

    def x(self, value: float) -> float:
        return LEFT + (value - self.x0) / (self.x1 - self.x0) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.y0) / (self.y1 - self.y0) * (HEIGHT - TOP - BOTTOM)

    def grid(self, *, x_ticks: bool = True) -> list[str]:
        lines = []
        for part in range(5):
            value = self.y0 + (self.y1 - self.y0) * part / 4
            at = self.y(value)
            lines.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#dddddd"/>')
            lines.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:.3g}</text>')
            if x_ticks:
                value = self.x0 + (self.x1 - self.x0) * part / 4
                lines.append(
                    f'<text x="{self.x(value):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{value:.3g}</text>'
                )
        return lines


def _legend(names: Sequence[str]) -> list[str]:
    lines = []
    for number, name in enumerate(names):
        at = TOP + 10 + number * 20
        colour = COLOURS[number % len(COLOURS)]
        lines.append(f'<rect x="{WIDTH - RIGHT + 14}" y="{at - 9}" width="11" height="11" fill="{colour}"/>')
        lines.append(f'<text x="{WIDTH - RIGHT + 31}" y="{at + 1}">{escape(name)}</text>')
    return lines


def scatter(
    title: str, x_label: str, y_label: str, points: Mapping[str, tuple[float, float, tuple[float, float]]]
) -> str:
    """Named points with an interval upright."""
    xs = [x for x, _, _ in points.values()]
    ys = [y for _, _, (low, high) in points.values() for y in (low, high)]
    scale = _Scale([0.0, *xs], ys)
    body = scale.grid()
    for number, (x, y, (low, high)) in enumerate(points.values()):
        colour, at = COLOURS[number % len(COLOURS)], scale.x(x)
        body.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{scale.y(low):.1f}" y2="{scale.y(high):.1f}" stroke="{colour}"/>'
        )
        body.append(f'<circle cx="{at:.1f}" cy="{scale.y(y):.1f}" r="5" fill="{colour}"/>')
    return _frame(title, x_label, y_label, [*body, *_legend(list(points))])


def lines(
    title: str, x_label: str, y_label: str, series: Mapping[str, Sequence[tuple[float, float]]], *, zero: bool = False
) -> str:
    """One line per name; `zero` draws the line of no difference."""
    xs = [x for one in series.values() for x, _ in one]
    ys = [y for one in series.values() for _, y in one]
    scale = _Scale(xs, [*ys, 0.0] if zero else ys)
    body = scale.grid()
    if zero:
        at = scale.y(0.0)
        body.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#000" stroke-dasharray="4 3"/>'
        )
    for number, one in enumerate(series.values()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in one)
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        body += [f'<circle cx="{scale.x(x):.1f}" cy="{scale.y(y):.1f}" r="3" fill="{colour}"/>' for x, y in one]
    return _frame(title, x_label, y_label, [*body, *_legend(list(series))])


def bars(title: str, y_label: str, groups: Mapping[str, Mapping[str, float]], *, stacked: bool = False) -> str:
    """Groups of bars, side by side or stacked; inner names are the legend."""
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    tops = [sum(group.values()) if stacked else max(group.values(), default=0.0) for group in groups.values()]
    scale = _Scale([0.0, 1.0], [0.0, *tops])
    body = scale.grid(x_ticks=False)
    slot = (WIDTH - LEFT - RIGHT) / max(1, len(groups))
    for at, (group, values) in enumerate(groups.items()):
        left, base = LEFT + at * slot + slot * 0.1, 0.0
        each = slot * 0.8 / (1 if stacked else max(1, len(names)))
        for number, name in enumerate(names):
            value = values.get(name, 0.0)
            low = base if stacked else 0.0
            x = left if stacked else left + number * each
            top, bottom = scale.y(low + value), scale.y(low)
            body.append(
                f'<rect x="{x:.1f}" y="{top:.1f}" width="{each:.1f}" height="{max(0.0, bottom - top):.1f}" '
                f'fill="{COLOURS[number % len(COLOURS)]}"/>'
            )
            base += value
        turn = f'transform="rotate(-18 {left + slot * 0.4:.1f} {HEIGHT - BOTTOM + 16})"' if len(groups) > 5 else ""
        body.append(
            f'<text x="{left + slot * 0.4:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle" '
            f'font-size="10" {turn}>{escape(group)}</text>'
        )
    return _frame(title, "", y_label, [*body, *_legend(names)])
