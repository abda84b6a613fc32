"""The arithmetic of a line, exactly as printed."""

from __future__ import annotations

import pytest

from billing_app.documents.arithmetic import sentences, title
from tests.domain.months import late_lines_of, lines_of, per_unit, plan

GROWTH = plan(2900, per_unit("1000", "0.0125"))


@pytest.mark.parametrize(
    ("used", "sentence"),
    [
        ("1530", "1,530 used − 1,000 included = 530 × $0.0125 = $6.625 → $6.63"),
        ("1200", "1,200 used − 1,000 included = 200 × $0.0125 = $2.50"),
        ("1001", "1,001 used − 1,000 included = 1 × $0.0125 = $0.0125 → $0.01"),
        ("1000", "1,000 used, within the 1,000 included = $0.00"),
        ("0", "0 used, within the 1,000 included = $0.00"),
        ("1000.5", "1,000.5 used − 1,000 included = 0.5 × $0.0125 = $0.00625 → $0.01"),
    ],
)
def test_overage_is_one_sentence(used: str, sentence: str) -> None:
    assert sentences(lines_of(GROWTH, used)[1], "USD") == [sentence]


def test_late_usage_shows_before_now_and_already_charged() -> None:
    (late,) = late_lines_of(GROWTH, "1001", "1002")
    assert sentences(late, "USD") == [
        "Before: 1,001 used − 1,000 included = 1 × $0.0125 = $0.0125 → $0.01",
        "Now: 1,002 used − 1,000 included = 2 × $0.0125 = $0.025 → $0.03",
        "$0.03 − $0.01 already charged = $0.02",
    ]


def test_monthly_price_has_no_arithmetic() -> None:
    assert sentences(lines_of(GROWTH, "0")[0], "USD") == []


def test_title_names_the_usage_month() -> None:
    base, usage = lines_of(GROWTH, "1")
    (late,) = late_lines_of(GROWTH, "1001", "1002")
    assert title(base) == "Monthly price"
    assert title(usage) == "Usage in October 2026"
    assert title(late) == "Usage in October 2026"
