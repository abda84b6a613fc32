"""The history of results: one line of JSON per run, committed together with the measured code."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.measures import Comparison, Figure, Measured

HISTORY = Path(__file__).parent / "history.jsonl"


def append(measured: Measured, *, quick: bool, postgresql: str) -> None:
    """Append the run's line; `commit` is null if the measured code is not committed."""
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "quick": quick,
        "machine": _machine() | {"postgresql": postgresql},
        "comparisons": {each.what: _comparison(each) for each in measured.comparisons if each.ours},
        "figures": {each.what: _figure(each) for each in measured.figures},
        "growth": {
            events: {name: round(value, 3) for name, value in figures.items()}
            for events, figures in measured.growth.items()
        },
        "failed": measured.failed,
    }
    with HISTORY.open("a") as file:
        file.write(json.dumps(line) + "\n")


def _comparison(each: Comparison) -> dict[str, Any]:
    return {
        "unit": each.unit,
        "reference": [round(rate) for rate in each.reference],
        "ours": [round(rate) for rate in each.ours],
        "ratio": round(each.ratio, 3),
        "at_least": each.at_least and round(each.at_least, 3),
    }


def _figure(each: Figure) -> dict[str, Any]:
    figure: dict[str, Any] = {"value": round(each.value, 2), "unit": each.unit}
    if each.rounds:
        figure |= {
            "rounds": len(each.rounds),
            "min": round(min(each.rounds), 2),
            "max": round(max(each.rounds), 2),
        }
    return figure


def _commit() -> str | None:
    here = HISTORY.parent
    changed = _git("status", "--porcelain", "--", here.parent, f":(exclude){HISTORY}")
    return None if changed is None or changed else _git("rev-parse", "--short", "HEAD")


def _git(*arguments: str | Path) -> str | None:
    """Return git's output, or None without git or outside a repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=HISTORY.parent, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1e9, 1),
        "processor": platform.machine(),
        "python": platform.python_version(),
    }
