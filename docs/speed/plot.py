#!/usr/bin/env python3
"""Draw saved benchmark runs as an SVG: prompt speed over length, answer speed over depth.

    docs/speed/plot.py Minke=docs/speed/minke.jsonl ik_llama.cpp=docs/speed/ik_llama.jsonl \
        -o docs/speed/depth.svg

Reads what `minke bench` or `llama-bench` saved with `-o json` or `-o jsonl`. A test that is there
several times, as from runs that took turns, counts with its median.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import median

WIDTH, HEIGHT = 800, 360
PANEL_TOP, PANEL_BOTTOM = 78, 300
PANEL_LEFTS, PANEL_WIDTH = (52, 456), 244
N_COLORS = 4
LABEL_HEIGHT = 16  # of a line's name at its end
MIN_TICK_GAP = 30

STYLE = """
  svg { --ground: #ffffff; --ink: #1f2328; --faint: #59636e; --rule: #e4e8ec; --axis: #9aa4af;
        --c0: #0969da; --c1: #bc4c00; --c2: #1a7f37; --c3: #8250df; }
  @media (prefers-color-scheme: dark) {
    svg { --ground: #0d1117; --ink: #e6edf3; --faint: #9198a1; --rule: #262c36; --axis: #59636e;
          --c0: #58a6ff; --c1: #f0883e; --c2: #56d364; --c3: #bc8cff; }
  }
  text { font: 12px system-ui, -apple-system, "Segoe UI", "Liberation Sans", "DejaVu Sans", sans-serif;
         font-variant-numeric: tabular-nums; fill: var(--faint); }
  .title { font-size: 15px; font-weight: 600; fill: var(--ink); }
  .name { font-size: 13px; font-weight: 600; }
  .ground { fill: var(--ground); }
  .rule { stroke: var(--rule); } .axis { stroke: var(--axis); }
  .line { fill: none; stroke-width: 2.25; stroke-linejoin: round; stroke-linecap: round; }
"""


@dataclass
class Series:
    """One line: rates in tokens/s by tokens (of the prompt, or in the cache)."""

    name: str
    color: int
    points: dict[int, float]


def read_rows(path: Path) -> list[dict]:
    """All objects of a file: one a line, or in lists, in any number."""
    text = path.read_text(encoding="utf-8")
    rows: list[dict] = []
    at = 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = json.JSONDecoder().raw_decode(text, at)
        rows += value if isinstance(value, list) else [value]
    return rows


def measured(row: dict) -> tuple[str, int, float] | None:
    """("prompt", its length, t/s) or ("answer", its depth, t/s); None for other tests."""
    n_prompt, n_gen, depth = row["n_prompt"], row["n_gen"], row.get("n_depth", 0)
    # ik_llama.cpp's -gp: its prompt is read before the clock starts.
    if "@pp" in row.get("test", ""):
        n_prompt, depth = 0, n_prompt
    rate = float(row["avg_ts"])
    if row.get("n_sequences", 1) != 1 or rate <= 0:
        return None
    if n_gen == 0 and depth == 0:
        return "prompt", n_prompt, rate
    return ("answer", depth, rate) if n_prompt == 0 else None


def read_series(name: str, color: int, path: Path) -> dict[str, Series]:
    rates: dict[str, dict[int, list[float]]] = {"prompt": {}, "answer": {}}
    for row in read_rows(path):
        if (found := measured(row)) is not None:
            kind, n_tokens, rate = found
            rates[kind].setdefault(n_tokens, []).append(rate)
    return {
        kind: Series(name, color, {n: median(all_rates) for n, all_rates in sorted(of.items())})
        for kind, of in rates.items()
    }


def short_count(n: int) -> str:
    return f"{n // 1024}K" if n >= 1024 and n % 1024 == 0 else str(n)


def nice_step(largest: float) -> float:
    """The distance of three to seven rules, 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(largest / 4))
    return next(f * power for f in (1, 2, 5, 10) if largest / (f * power) <= 7)


def spread(heights: list[float], gap: float, low: float, high: float) -> list[float]:
    """The heights in their order, moved apart as little as needs be, between low and high."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    placed = list(heights)
    for before, i in zip(order, order[1:]):
        placed[i] = max(placed[i], placed[before] + gap)
    limit = high
    for i in reversed(order):
        placed[i] = max(low, min(placed[i], limit))
        limit = placed[i] - gap
    return placed


class Panel:
    """Lines over a logarithmic number of tokens; 0 has a place of its own, left of the others."""

    def __init__(self, left: int, series: list[Series]) -> None:
        self.left, self.right = left, left + PANEL_WIDTH
        self.series = [s for s in series if s.points]
        self.counts = sorted({n for s in self.series for n in s.points})
        logs = [math.log2(n) for n in self.counts if n > 0]
        self.zero = bool(self.counts) and self.counts[0] == 0
        self.low = (min(logs) if logs else 0) - (1.5 if self.zero else 0)
        self.high = max(logs) if logs else 1
        top = max((r for s in self.series for r in s.points.values()), default=1)
        self.step = nice_step(top)
        self.top = self.step * math.ceil(1.02 * top / self.step)

    def x(self, n: int) -> float:
        share = (math.log2(n) - self.low) / max(self.high - self.low, 1e-9) if n > 0 else 0
        return self.left + 10 + share * (PANEL_WIDTH - 20)

    def y(self, rate: float) -> float:
        return PANEL_BOTTOM - rate / self.top * (PANEL_BOTTOM - PANEL_TOP)

    def draw(self, title: str, x_title: str) -> list[str]:
        out = [
            f'<text class="title" x="{self.left}" y="36">{escape(title)}</text>',
            f'<text x="{self.left}" y="56">tokens per second</text>',
        ]
        out += self._y_axis() + self._x_axis(x_title)
        for s in self.series:
            out += self._line(s)
        return out + self._names()

    def _y_axis(self) -> list[str]:
        out = []
        for i in range(round(self.top / self.step) + 1):
            y = self.y(i * self.step)
            kind = "rule" if i else "axis"
            out.append(f'<path class="{kind}" d="M{self.left} {y:.1f}H{self.right}"/>')
            text = f'x="{self.left - 8}" y="{y + 4:.1f}" text-anchor="end"'
            out.append(f"<text {text}>{i * self.step:g}</text>")
        return out

    def _x_axis(self, x_title: str) -> list[str]:
        out = []
        last = -math.inf
        for n in self.counts:
            x = self.x(n)
            out.append(f'<path class="axis" d="M{x:.1f} {PANEL_BOTTOM}v4"/>')
            if x - last < MIN_TICK_GAP:
                continue
            last = x
            place = f'x="{x:.1f}" y="{PANEL_BOTTOM + 19}" text-anchor="middle"'
            out.append(f"<text {place}>{short_count(n)}</text>")
        middle = (self.left + self.right) / 2
        place = f'x="{middle:.1f}" y="{PANEL_BOTTOM + 42}" text-anchor="middle"'
        return [*out, f"<text {place}>{escape(x_title)}</text>"]

    def _line(self, s: Series) -> list[str]:
        places = [f"{self.x(n):.1f} {self.y(rate):.1f}" for n, rate in s.points.items()]
        color = f"var(--c{s.color})"
        out = []
        first = 0
        if 0 in s.points and len(places) > 1:  # from 0 the axis is not logarithmic
            out.append(self._path(places[:2], f"stroke:{color};stroke-dasharray:2 5"))
            first = 1
        out.append(self._path(places[first:], f"stroke:{color}"))
        for place in places:
            x, y = place.split()
            circle = f'cx="{x}" cy="{y}" r="3.5" stroke-width="1.5"'
            out.append(f'<circle {circle} style="fill:{color};stroke:var(--ground)"/>')
        return out

    @staticmethod
    def _path(places: list[str], style: str) -> str:
        return f'<path class="line" style="{style}" d="M{"L".join(places)}"/>'

    def _names(self) -> list[str]:
        """Each right of its line's end; below it where other lines go on to the right."""
        ends = [max(s.points) for s in self.series]
        wanted = [self.y(s.points[end]) for s, end in zip(self.series, ends)]
        heights = spread(wanted, LABEL_HEIGHT, PANEL_TOP, PANEL_BOTTOM - 8)
        out = []
        for s, end, y in zip(self.series, ends, heights):
            x, anchor = self.x(end) + 11, "start"
            if end < self.counts[-1]:
                x, y, anchor = self.x(end) + 5, self.y(s.points[end]) + 18, "end"
            place = f'x="{x:.1f}" y="{y + 4:.1f}" text-anchor="{anchor}"'
            style = f'style="fill:var(--c{s.color})"'
            out.append(f'<text class="name" {place} {style}>{escape(s.name)}</text>')
        return out


def draw(runs: list[dict[str, Series]]) -> str:
    panels = (
        ("prompt", "Reading a prompt", "tokens of the prompt"),
        ("answer", "Answering", "tokens that came before"),
    )
    names = ", ".join(run["prompt"].name for run in runs)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-labelledby="title">',
        f'<title id="title">Tokens per second over length: {escape(names)}</title>',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
    ]
    for left, (kind, title, x_title) in zip(PANEL_LEFTS, panels):
        out += Panel(left, [run[kind] for run in runs]).draw(title, x_title)
    return "\n".join([*out, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="NAME=FILE", help="a line's name and its run")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="SVG")
    options = parser.parse_args()
    if len(options.runs) > N_COLORS:
        parser.error(f"at most {N_COLORS} runs can be told apart")
    runs = []
    for color, text in enumerate(options.runs):
        name, equals, path = text.partition("=")
        if not equals:
            parser.error(f"{text}: not NAME=FILE")
        try:
            runs.append(read_series(name, color, Path(path)))
        except (OSError, ValueError, KeyError, TypeError) as error:
            sys.exit(f"{path}: {type(error).__name__}: {error}")
        if not any(series.points for series in runs[-1].values()):
            sys.exit(f"{path}: no prompts and no answers in it")
    options.output.write_text(draw(runs), encoding="utf-8")


if __name__ == "__main__":
    main()
