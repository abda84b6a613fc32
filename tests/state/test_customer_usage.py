"""What a customer's page shows of a month's usage: the picked meter, its caption and the points of its chart."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from billing_app.domain.terms import Aggregation, Meter
from billing_app.services.usage.days import ChargedSpan, MeteredDay, MeteredMonth, MonthlyUsage
from billing_app.state.pages.customer_usage import present_usage
from billing_app.state.presenters.customers import UsageMonth

FIRST, HALF, END = date(2026, 11, 1), date(2026, 11, 16), date(2026, 12, 1)
TODAY = date(2026, 11, 20)


def meter(code: str, aggregation: Aggregation = "sum") -> Meter:
    return Meter(2, code, code.capitalize(), code.removesuffix("s"), aggregation)


def used(of: Meter, *spans: tuple[date, date, str, str | None]) -> MeteredMonth:
    """Return a month with usage of 300 on November 2, and of 50 more on November 18."""
    days = (
        MeteredDay(date(2026, 11, 2), Decimal(300), Decimal(300)),
        MeteredDay(date(2026, 11, 18), Decimal(50), Decimal(50)),
    )
    charged = (
        ChargedSpan(start, end, Decimal(quantity), None if included is None else Decimal(included))
        for start, end, quantity, included in spans
    )
    return MeteredMonth(of, Decimal(350), days, tuple(charged))


def shown(*meters: MeteredMonth, picked: str = "") -> UsageMonth:
    return present_usage(MonthlyUsage(FIRST, has_plan=True, meters=meters), picked, TODAY)


CALLS = meter("calls")


@pytest.mark.parametrize(
    ("spans", "caption"),
    [
        ([(FIRST, END, "350", "1000")], "of 1,000 included calls (650 left)"),
        ([(FIRST, END, "350", "100.5")], "of 100.5 included calls (249.5 overage)"),
        ([(FIRST, END, "350", "1")], "of 1 included call (349 overage)"),
        ([(FIRST, END, "350", "0")], "calls, none included"),
        ([(FIRST, END, "350", None)], "calls, priced in tiers"),
        ([], "calls, not priced"),
        (
            [(FIRST, HALF, "300", "200"), (HALF, END, "50", "150")],
            "calls. Nov 16 – 30, 2026: 50 of 150 included calls (100 left)",
        ),
    ],
)
def test_caption_compares_with_what_is_included(
    spans: list[tuple[date, date, str, str | None]], caption: str
) -> None:
    assert shown(used(CALLS, *spans)).caption == caption


def test_total_of_a_divided_month_starts_again_with_each_charge() -> None:
    divided = [(FIRST, HALF, "300", "200"), (HALF, END, "50", "150")]
    points = shown(used(CALLS, *divided)).points
    texts = {each["label"]: (each.get("total_text"), each.get("included_text")) for each in points}
    assert texts["Nov 15"] == ("300", "200")
    assert texts["Nov 16"] == ("0", "150")
    assert texts["Nov 20"] == ("50", "150")
    # The future has no usage yet.
    assert texts["Nov 21"] == (None, "150")
    seats = [(FIRST, HALF, "350", "200"), (HALF, END, "350", "150")]
    points = shown(used(meter("seats", "max"), *seats)).points
    assert [points[day - 1]["total_text"] for day in (15, 16, 20)] == ["300", "300", "350"]


def test_meters_are_offered_only_if_there_are_several() -> None:
    whole = (FIRST, END, "350", "1000")
    assert shown(used(CALLS, whole)).meters == []
    both = (used(CALLS, whole), used(meter("seats")._replace(meter_id=3), whole))
    first = shown(*both)
    assert [(each.value, each.text) for each in first.meters] == [
        ("", "Calls: 350 calls"), ("seats", "Seats: 350 seats"),
    ]  # fmt: skip
    assert (first.meter, shown(*both, picked="seats").meter) == ("Calls", "Seats")
    assert shown(*both, picked="missing").meter == "Calls"


def test_month_without_a_plan_says_so() -> None:
    month = MonthlyUsage(FIRST, has_plan=True, meters=(used(CALLS),))
    assert present_usage(replace(month, has_plan=False), "", TODAY).caption == "No plan this month"
