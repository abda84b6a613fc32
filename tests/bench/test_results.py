"""A failed part of the bench costs only its own results, and the picture of growth shows what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import history
from bench.growth import PANELS, draw
from bench.measures import Figure, Measured
from bench.parts import failures_noted
from bench.report import show


def test_results_before_and_after_a_failure_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(history, "HISTORY", tmp_path / "history.jsonl")
    measured = Measured()
    with failures_noted(measured, "ingest"):
        measured.compare("bulk ingest", "rows/s", 0.5).add(100.0, 60.0)
        raise RuntimeError("the disk broke")
    with failures_noted(measured, "pages"):
        measured.figures.append(Figure("first page", 173.0, "kB", 200, (172.0, 174.0)))

    history.append(measured, quick=False, postgresql="18")
    show(measured, quick=False)

    line = json.loads((tmp_path / "history.jsonl").read_text())
    assert line["failed"] == ["ingest"]
    assert line["comparisons"]["bulk ingest"]["ratio"] == 0.6
    assert line["figures"]["first page"]["max"] == 174.0
    printed = capsys.readouterr()
    assert "the disk broke" in printed.err
    assert "2: 172-174" in printed.out
    assert "Failed, so its results are missing or incomplete: ingest" in printed.out


def test_comparison_without_a_round_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    measured = Measured()
    measured.compare("bulk ingest", "rows/s", 0.5)
    show(measured, quick=False)
    assert "bulk ingest" not in capsys.readouterr().out


def test_picture_of_growth_shows_each_figure_and_the_gap_of_a_missing_one() -> None:
    figures = dict.fromkeys(PANELS, 12.5)
    picture = draw({"0": {**figures, "ingest": 40_000.0}, "10M": {"ingest": 20_000.0}})
    ET.fromstring(picture)  # Well-formed.
    assert all(title.replace("&", "&amp;") in picture for _, title in PANELS.values())
    assert "40,000" in picture
    assert "20,000" in picture
    assert picture.count("<rect") == len(PANELS) + 1
    assert "prefers-color-scheme: dark" in picture
