"""How speed depends on the number of recorded events, and a picture of it: docs/images/growth.svg."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from itertools import count
from pathlib import Path
from statistics import median

from bench.databases import Bench
from bench.http import served
from bench.ingest import ACTOR, make_batches, product_rate
from bench.lists import request_times
from bench.load import load
from bench.measures import seconds
from bench.others import verify_seconds
from bench.runs import product_run
from billing_app.services.invoices.previews import preview_invoice

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "growth.svg"
PREVIEWS = 200
LIST_REQUESTS = 50
# Each panel: the figure, its unit, and its title.
PANELS = {
    "ingest": ("events/s", "Batches of 10,000"),
    "single": ("events/s", "Single events over HTTP"),
    "preview": ("ms", "Preview of an invoice"),
    "run": ("ms", "Invoice run, per customer"),
    "list": ("ms", "Page of the usage log, API"),
    "verify": ("µs", "Verification, per event"),
}


def measure_small(
    bench: Bench, customers: int, events: int, months: Sequence[date], load_seconds: int
) -> dict[str, float]:
    """Measure every figure on a database with this many events, all in `months`, which are to be invoiced."""
    figures = {
        "ingest": product_rate(bench, make_batches(customers, 4)),
        "preview": preview_ms(bench, customers, months[0]),
    }
    runs = [product_run(bench, month) for month in months]
    figures["run"] = 1000 * median(run.seconds / max(1, run.customers) for run in runs)
    if events:
        figures["verify"] = 1e6 * verify_seconds(bench) / events
    return figures | measure_served(bench, customers, load_seconds)


def measure_served(bench: Bench, customers: int, load_seconds: int) -> dict[str, float]:
    """Measure single events and a list over HTTP."""
    with served(bench) as server:
        return {
            "list": 1000 * median(request_times(server, [("/usage", {})], LIST_REQUESTS)),
            "single": load(server, customers, load_seconds).rate,
        }


def preview_ms(bench: Bench, customers: int, month: date) -> float:
    """Measure the median time of previewing a customer's invoice for the month."""
    database = bench.database()
    numbers = count(1, max(1, customers // PREVIEWS))

    def preview() -> None:
        database.call(ACTOR, preview_invoice, f"customer-{next(numbers)}", month)

    preview()
    try:
        return 1000 * median(seconds(preview) for _ in range(PREVIEWS - 1))
    finally:
        database.close()


_STYLE = """
    text { font: 12px system-ui, sans-serif; fill: #52525b }
    .title { font-weight: 600; fill: #18181b }
    .value { fill: #18181b; text-anchor: middle }
    .label { text-anchor: middle }
    .bar { fill: #4f46e5 }
    .line { stroke: #d4d4d8 }
    @media (prefers-color-scheme: dark) {
      text { fill: #a1a1aa }
      .title, .value { fill: #fafafa }
      .bar { fill: #818cf8 }
      .line { stroke: #3f3f46 }
    }
"""
_WIDTH, _HEIGHT, _COLUMNS, _BAR, _TALLEST = 250, 190, 3, 44, 100


def draw(growth: Mapping[str, Mapping[str, float]]) -> str:
    """Draw one panel for each figure, with a bar for each number of events, as SVG for light and dark pages."""
    rows = -(-len(PANELS) // _COLUMNS)
    width, height = _COLUMNS * _WIDTH, rows * _HEIGHT + 24
    panels = "\n".join(_panel(number, name, growth) for number, name in enumerate(PANELS))
    caption = f'<text x="12" y="{height - 10}">Bars: databases with {", ".join(growth)} events</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
        f' aria-label="Speed by number of recorded events">\n<style>{_STYLE}</style>\n{panels}\n{caption}\n</svg>\n'
    )


def _panel(number: int, name: str, growth: Mapping[str, Mapping[str, float]]) -> str:
    unit, title = PANELS[name]
    left, top = number % _COLUMNS * _WIDTH + 12, number // _COLUMNS * _HEIGHT
    ground = top + 150
    parts = [
        f'<text class="title" x="{left}" y="{top + 20}">{escape(title)} ({unit})</text>',
        f'<line class="line" x1="{left}" x2="{left + _WIDTH - 40}" y1="{ground}" y2="{ground}"/>',
    ]
    tallest = max((figures[name] for figures in growth.values() if name in figures), default=1) or 1
    for place, (events, figures) in enumerate(growth.items()):
        middle = left + 35 + place * 70
        parts.append(f'<text class="label" x="{middle}" y="{ground + 16}">{escape(events)}</text>')
        if name not in figures:
            continue
        height = _TALLEST * figures[name] / tallest
        parts.append(
            f'<rect class="bar" x="{middle - _BAR / 2:g}" y="{ground - height:.1f}" width="{_BAR}"'
            f' height="{height:.1f}"/>'
            f'<text class="value" x="{middle}" y="{ground - height - 5:.1f}">{_short(figures[name])}</text>'
        )
    return "\n".join(parts)


def _short(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def main() -> None:
    """Draw the picture again from the last full run in the history."""
    from bench.history import HISTORY

    runs = [json.loads(line) for line in HISTORY.read_text().splitlines()]
    growth = [run["growth"] for run in runs if run.get("growth") and not run["quick"]]
    if not growth:
        sys.exit("The history has no full run with growth.")
    PICTURE.write_text(draw(growth[-1]))


if __name__ == "__main__":
    main()
