"""Printing the results as a table."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from bench.measures import Comparison, Figure, Measured

RATIO = "ratio"
_COLOURS = {"ok": "[green]ok[/]", "missed": "[red]missed[/]", "": ""}


def show(measured: Measured, *, quick: bool) -> None:
    """Print comparisons, then figures. Those of a quick run are marked and have no targets."""
    title = "Quick: small numbers, not to be compared with the targets" if quick else None
    table = Table(title=title, title_justify="left")
    for column in ("what", "unit", "reference", "ours", "ratio", "rounds", "target", ""):
        table.add_column(column, justify="left" if column in ("what", "unit") else "right")
    for comparison in filter(lambda each: each.ours, measured.comparisons):
        table.add_row(*_comparison(comparison), verdict(comparison, quick=quick))
    table.add_section()
    for figure in measured.figures:
        table.add_row(*_figure(figure), verdict(figure, quick=quick))
    Console(width=None if Console().is_terminal else 160).print(table)
    for part in measured.failed:
        print(f"Failed, so its results are missing or incomplete: {part}")


def _comparison(each: Comparison) -> tuple[str, ...]:
    target = "" if each.at_least is None else f">= {each.at_least:.2f}"
    middle = sorted(zip(each.ratios, each.reference, each.ours, strict=True))[len(each.ratios) // 2]
    rounds = f"{len(each.ratios)}: {min(each.ratios):.2f}-{max(each.ratios):.2f}"
    return (
        each.what,
        each.unit,
        f"{middle[1]:,.0f}",
        f"{middle[2]:,.0f}",
        f"{each.ratio:.2f}",
        rounds,
        target,
    )


def _figure(each: Figure) -> tuple[str, ...]:
    target = "" if each.at_most is None else f"<= {each.at_most:,.0f}"
    is_ratio = each.unit == RATIO
    values = ("", f"{each.value:.2f}") if is_ratio else (_rounded(each.value), "")
    rounds = (
        f"{len(each.rounds)}: {_rounded(min(each.rounds))}-{_rounded(max(each.rounds))}"
        if each.rounds
        else ""
    )
    return (each.what, "" if is_ratio else each.unit, "", *values, rounds, target)


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def verdict(each: Comparison | Figure, *, quick: bool) -> str:
    """Return `ok`, `missed`, or nothing if there is no target or the numbers are too small for it."""
    if each.reached is None or quick:
        return ""
    return _COLOURS["ok" if each.reached else "missed"]
