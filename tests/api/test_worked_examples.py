"""The worked examples of prices, over HTTP: each amount, and its arithmetic as the invoice's PDF words it.

Every invoice equals the preview before it, and verification finds no discrepancy afterwards.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from pypdf import PdfReader

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Role
from billing_app.jobs.verification import verify
from tests.api.conftest import ClientOf
from tests.conftest import Clock
from tests.documents.papers import unwrapped

Charge = dict[str, Any]
Expected = tuple[str, ...]
"""The amount of a line, and the texts that the PDF shows for it, in order."""

STARTER = {"monthly_price": "29.00", "included_units": "1000", "overage_unit_price": "0.0125"}


def tiers(*terms: tuple[str | None, str, str]) -> list[dict[str, str | None]]:
    return [{"up_to": up_to, "unit_price": unit, "flat_price": flat} for up_to, unit, flat in terms]


GRADUATED: Charge = {
    "model": "graduated",
    "tiers": tiers(("1000", "0", "0"), ("10000", "0.01", "0"), (None, "0.004", "5.00")),
}
VOLUME: Charge = {
    "model": "volume",
    "tiers": tiers(("1000", "0.02", "0"), ("10000", "0.015", "0"), (None, "0.01", "5.00")),
}
PACKAGE: Charge = {"model": "package", "included_units": "10", "package_size": "5", "package_price": "3.00"}


class Acme:
    """One customer, whose plans, usage and invoices are all handled over HTTP."""

    def __init__(self, client_of: ClientOf, clock: Clock) -> None:
        self._client_of, self._clock = client_of, clock
        self.client = client_of(Role.ADMIN)

    def wait_until(self, year: int, month: int) -> None:
        """Continue on the first day of a month, by when the session has expired."""
        self._clock.set(year, month)
        self.client = self._client_of(Role.ADMIN)

    def post(self, path: str, **body: Any) -> Any:
        answer = self.client.post(f"/api/v1{path}", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def start(self, start: str, **terms: Any) -> None:
        plan_id = self.post("/plans", name="First", **terms)["id"]
        self.post("/customers", name="Acme", key="acme", email="a@acme.test", plan_id=plan_id, start=start)

    def change_plan(self, day: str, **terms: Any) -> None:
        body = {"plan_id": self.post("/plans", name="Second", **terms)["id"], "effective_from": day}
        answer = self.client.put("/api/v1/customers/acme/subscription", json=body)
        assert answer.status_code == 200, answer.text

    def use(self, quantity: str, day: str, **more: str) -> str:
        """Report usage. Returns its key."""
        key, at = f"{quantity} on {day}", f"{day}T12:00:00Z"
        self.post("/usage", customer="acme", idempotency_key=key, quantity=quantity, occurred_at=at, **more)
        return key

    def correct(self, key: str, quantity: str) -> None:
        values = {"idempotency_key": key, "quantity": quantity, "correction_key": f"{key} is {quantity}"}
        self.post("/usage/corrections", customer="acme", reason="Counted wrongly.", **values)

    def discount(self, name: str, **terms: Any) -> None:
        self.post("/customers/acme/discounts", name=name, first_period="2026-10", **terms)

    def invoice(self, period: str, total: str, *expected: Expected) -> Any:
        """Generate an invoice, which must have these lines, as its preview and its PDF do. Returns it."""
        preview = self.client.get(f"/api/v1/customers/acme/invoice-preview?period={period}").json()
        invoice = self.post("/invoices", customer="acme", period=period)
        assert [line["amount"] for line in invoice["lines"]] == [amount for amount, *_ in expected]
        assert invoice["total"] == total
        assert (preview["lines"], preview["total"]) == (invoice["lines"], total)
        self._check_pdf(invoice, expected)
        return invoice

    def _check_pdf(self, invoice: Any, expected: tuple[Expected, ...]) -> None:
        pdf = self.client.get(f"/api/v1/invoices/{invoice['number']}.pdf")
        text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf.content)).pages)
        remaining = unwrapped(text)
        is_credit = invoice["total"].startswith("-")
        assert f"{'Credit' if is_credit else 'Invoice'}Number{invoice['number']}" in remaining
        assert ("Amountdue" in remaining) is not is_credit
        for amount, *texts in expected:
            for each in texts:
                before, found, remaining = remaining.partition(unwrapped(each))
                assert found, f"{each!r} of the line of {amount} is not in {before!r}"


@pytest.fixture
def acme(client_of: ClientOf, clock: Clock, database: Database) -> Iterator[Acme]:
    yield Acme(client_of, clock)
    assert verify(database, SYSTEM).discrepancies == []


TIER_1 = "(tier 1, up to 1,000)"
TIER_2 = "(tier 2, above 1,000 up to 10,000)"
TIER_3 = "(tier 3, above 10,000)"
MODELS: list[tuple[Charge, str, str, list[Expected]]] = [
    (GRADUATED, "1001", "0.01", [
        ("0.00", "tier 1", f"1,000 of 1,001 used {TIER_1} × $0.00 = $0.00"),
        ("0.01", "tier 2", f"1 of 1,001 used {TIER_2} × $0.01 = $0.01"),
    ]),
    (GRADUATED, "10000", "90.00", [
        ("0.00", f"1,000 of 10,000 used {TIER_1} × $0.00 = $0.00"),
        ("90.00", f"9,000 of 10,000 used {TIER_2} × $0.01 = $90.00"),
    ]),
    (GRADUATED, "10000.5", "95.00", [
        ("0.00", f"1,000 of 10,000.5 used {TIER_1} × $0.00 = $0.00"),
        ("90.00", f"9,000 of 10,000.5 used {TIER_2} × $0.01 = $90.00"),
        ("5.00", f"0.5 of 10,000.5 used {TIER_3} × $0.004 + $5.00 flat fee = $5.002 → $5.00"),
    ]),
    (GRADUATED, "25000", "155.00", [
        ("0.00", f"1,000 of 25,000 used {TIER_1} × $0.00 = $0.00"),
        ("90.00", f"9,000 of 25,000 used {TIER_2} × $0.01 = $90.00"),
        ("65.00", "tier 3", f"15,000 of 25,000 used {TIER_3} × $0.004 + $5.00 flat fee = $65.00"),
    ]),
    (VOLUME, "1000", "20.00", [("20.00", f"1,000 used {TIER_1} × $0.02 = $20.00")]),
    (VOLUME, "1001", "15.02", [("15.02", f"1,001 used {TIER_2} × $0.015 = $15.015 → $15.02")]),
    (VOLUME, "10000", "150.00", [("150.00", f"10,000 used {TIER_2} × $0.015 = $150.00")]),
    (VOLUME, "10001", "105.01", [("105.01", f"10,001 used {TIER_3} × $0.01 + $5.00 flat fee = $105.01")]),
    (PACKAGE, "10", "0.00", [("0.00", "10 used, within the 10 included = $0.00")]),
    (PACKAGE, "10.000001", "3.00", [
        ("3.00", "10.000001 used − 10 included = 0.000001, in packages of 5: 1 × $3.00 = $3.00"),
    ]),
    (PACKAGE, "15", "3.00", [("3.00", "15 used − 10 included = 5, in packages of 5: 1 × $3.00 = $3.00")]),
    (PACKAGE, "15.5", "6.00", [
        ("6.00", "15.5 used − 10 included = 5.5, in packages of 5: 2 × $3.00 = $6.00"),
    ]),
    (PACKAGE, "27", "12.00", [("12.00", "27 used − 10 included = 17, in packages of 5: 4 × $3.00 = $12.00")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("charge", "quantity", "total", "usage"),
    MODELS,
    ids=[f"{charge['model']} {quantity}" for charge, quantity, *_ in MODELS],
)
def test_quantity_is_priced_by_its_model(
    acme: Acme, charge: Charge, quantity: str, total: str, usage: list[Expected]
) -> None:
    acme.start("2026-10", monthly_price=0, charges=[charge])
    acme.use(quantity, "2026-10-05")
    acme.invoice("2026-10", total, ("0.00", "Monthly price"), *usage)


def test_late_unit_that_reaches_a_cheaper_volume_price_is_a_credit(acme: Acme) -> None:
    acme.start("2026-10", monthly_price=0, charges=[VOLUME])
    acme.use("1000", "2026-10-05")
    acme.invoice("2026-10", "20.00", ("0.00", "Monthly price"), ("20.00", "Usage in October 2026"))
    acme.use("1", "2026-10-31")
    acme.wait_until(2026, 12)
    late = (
        "-4.98",
        "Usage in October 2026", "Late usage",
        f"Before: 1,000 used {TIER_1} × $0.02 = $20.00",
        f"Now: 1,001 used {TIER_2} × $0.015 = $15.015 → $15.02",
        "$15.02 − $20.00 already charged = −$4.98",
    )  # fmt: skip
    credit = acme.invoice(
        "2026-11", "-4.98", ("0.00", "Monthly price"), ("0.00", "Usage in November 2026"), late
    )
    assert credit["payment_status"] == "credit"
    line = credit["lines"][2]
    assert (line["tier_before"]["number"], line["tier"]["number"]) == (1, 2)
    assert (line["unit_price_before"], line["unit_price"]) == ("0.02", "0.015")
    assert (line["rated"], line["already_charged"]) == ("15.02", "20.00")
    assert acme.client.get("/api/v1/customers/acme/credit").json()["credit"] == "4.98"


def test_customer_who_starts_in_the_month_pays_for_the_days_since(acme: Acme) -> None:
    acme.start("2026-10-15", **STARTER)
    acme.use("700", "2026-10-20")
    invoice = acme.invoice(
        "2026-10", "17.80",
        ("15.90", "Monthly price, Oct 15 – 31, 2026", "$29.00 × 17/31 days = $493.00/31 → $15.90"),
        (
            "1.90",
            "Usage, Oct 15 – 31, 2026",
            "1,000 included × 17/31 days → 548.387097",
            "700 used − 548.387097 included = 151.612903 × $0.0125 = $1.8951612875 → $1.90",
        ),
    )  # fmt: skip
    base, usage = invoice["lines"]
    assert base["segment"] == {"start": "2026-10-15", "end": "2026-11-01", "days": 17, "days_in_month": 31}
    assert base["exact_amount"] == "493/31"
    assert (usage["included_quantity"], usage["billed_quantity"]) == ("548.387097", "151.612903")


def test_month_under_two_plans_has_a_part_for_each(acme: Acme) -> None:
    acme.start("2026-10", **STARTER)
    acme.change_plan("2026-10-15", monthly_price="99.00", included_units="5000", overage_unit_price="0.01")
    acme.use("600", "2026-10-10")
    acme.use("3000", "2026-10-20")
    acme.invoice(
        "2026-10", "71.82",
        ("13.10", "Monthly price, Oct 1 – 14, 2026", "$29.00 × 14/31 days = $406.00/31 → $13.10"),
        ("54.29", "Monthly price, Oct 15 – 31, 2026", "$99.00 × 17/31 days = $1,683.00/31 → $54.29"),
        (
            "1.85",
            "1,000 included × 14/31 days → 451.612903",
            "600 used − 451.612903 included = 148.387097 × $0.0125 = $1.8548387125 → $1.85",
        ),
        (
            "2.58",
            "5,000 included × 17/31 days → 2,741.935484",
            "3,000 used − 2,741.935484 included = 258.064516 × $0.01 = $2.58064516 → $2.58",
        ),
    )  # fmt: skip


def test_identical_charges_of_two_plans_share_one_allowance(acme: Acme) -> None:
    acme.start("2026-10", **STARTER)
    acme.change_plan("2026-10-15", **STARTER | {"monthly_price": "39.00"})
    acme.use("900", "2026-10-20")
    acme.invoice(
        "2026-10", "34.49",
        ("13.10", "$29.00 × 14/31 days = $406.00/31 → $13.10"),
        ("21.39", "$39.00 × 17/31 days = $663.00/31 → $21.39"),
        ("0.00", "Usage in October 2026", "900 used, within the 1,000 included = $0.00"),
    )  # fmt: skip


OVERAGE_OF_OCTOBER = "1,530 used − 1,000 included = 530 × $0.0125 = $6.625 → $6.63"
NOTHING_USED = ("0.00", "Usage in November 2026", "0 used, within the 1,000 included = $0.00")


def test_discounts_apply_one_after_another_and_to_late_usage(acme: Acme) -> None:
    acme.start("2026-10", **STARTER)
    acme.use("1530", "2026-10-05")
    acme.discount("Welcome", percent="20", last_period="2026-10")
    acme.discount("Loyalty", amount="10.00", applies_to="base")
    acme.invoice(
        "2026-10", "18.50",
        ("29.00", "Monthly price"),
        ("6.63", OVERAGE_OF_OCTOBER),
        ("-5.80", "Welcome, on the monthly price of October 2026", "20% of $29.00 = $5.80"),
        ("-1.33", "Welcome, on usage in October 2026", "20% of $6.63 = $1.326 → $1.33"),
        ("-10.00", "Loyalty, on the monthly price of October 2026", "$10.00 off"),
    )  # fmt: skip
    acme.use("100", "2026-10-31")
    acme.wait_until(2026, 12)
    acme.invoice(
        "2026-11", "20.00",
        ("29.00", "Monthly price"),
        NOTHING_USED,
        ("-10.00", "Loyalty, on the monthly price of November 2026", "$10.00 off"),
        (
            "1.25",
            "Usage in October 2026", "Late usage",
            f"Before: {OVERAGE_OF_OCTOBER}",
            "Now: 1,630 used − 1,000 included = 630 × $0.0125 = $7.875 → $7.88",
            "$7.88 − $6.63 already charged = $1.25",
        ),
        (
            "-0.25",
            "Welcome, on usage in October 2026",
            "Before: 20% of $6.63 = $1.326 → $1.33",
            "Now: 20% of $7.88 = $1.576 → $1.58",
            "$1.58 − $1.33 already deducted = $0.25",
        ),
    )  # fmt: skip


def test_correction_of_an_invoiced_month_is_charged_on_the_next_invoice(acme: Acme) -> None:
    acme.start("2026-10", **STARTER)
    key = acme.use("1530", "2026-10-05")
    acme.invoice("2026-10", "35.63", ("29.00", "Monthly price"), ("6.63", OVERAGE_OF_OCTOBER))
    acme.correct(key, "1030")
    acme.wait_until(2026, 12)
    late = (
        "-6.25",
        "Usage in October 2026", "Correction",
        f"Before: {OVERAGE_OF_OCTOBER}",
        "Now: 1,030 used − 1,000 included = 30 × $0.0125 = $0.375 → $0.38",
        "$0.38 − $6.63 already charged = −$6.25",
    )  # fmt: skip
    invoice = acme.invoice("2026-11", "22.75", ("29.00", "Monthly price"), NOTHING_USED, late)
    line = invoice["lines"][2]
    assert (line["quantity"], line["is_correction"]) == ("-500", True)


def per_seat(price: str) -> dict[str, Any]:
    """Return the terms of a plan with nothing but a price for the largest number of seats."""
    seats = {"meter": "seats", "model": "per_unit", "included_units": "0", "unit_price": price}
    return {"monthly_price": 0, "charges": [seats]}


@pytest.fixture
def seats(acme: Acme) -> Acme:
    """Return acme with a meter of seats, and on a plan that charges 10.00 for each."""
    acme.post("/meters", code="seats", name="Seats", unit="seat", aggregation="max")
    acme.start("2026-10", **per_seat("10.00"))
    return acme


def test_largest_quantity_is_taken_again_when_its_event_is_undone(seats: Acme) -> None:
    seats.use("5", "2026-10-02", meter="seats")
    eight = seats.use("8", "2026-10-03", meter="seats")
    peak = ("80.00", "Seats in October 2026", "8 at the peak × $10.00 = $80.00")
    seats.invoice("2026-10", "80.00", ("0.00", "Monthly price"), peak)
    seats.use("7", "2026-10-30", meter="seats")
    seats.correct(eight, "0")
    seats.wait_until(2026, 12)
    seats.invoice(
        "2026-11", "-10.00",
        ("0.00", "Monthly price"),
        ("0.00", "Seats in November 2026", "0 at the peak × $10.00 = $0.00"),
        (
            "-10.00",
            "Seats in October 2026", "Correction",
            "Before: 8 at the peak × $10.00 = $80.00",
            "Now: 7 at the peak × $10.00 = $70.00",
            "$70.00 − $80.00 already charged = −$10.00",
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("price", "total", "usage"),
    [
        ("10.00", "80.00", [("80.00", "Seats in October 2026", "8 at the peak × $10.00 = $80.00")]),
        (
            "12.00",
            "88.78",
            [
                ("36.13", "Oct 1 – 14", "8 at the peak × $10.00 × 14/31 days = $1,120.00/31 → $36.13"),
                ("52.65", "Oct 15 – 31", "8 at the peak × $12.00 × 17/31 days = $1,632.00/31 → $52.65"),
            ],
        ),
    ],
    ids=["the same price", "another price"],
)
def test_largest_quantity_counts_for_the_whole_month_under_each_plan(
    seats: Acme, price: str, total: str, usage: list[Expected]
) -> None:
    seats.use("8", "2026-10-03", meter="seats")
    seats.change_plan("2026-10-15", **per_seat(price))
    base = [("0.00", f"Monthly price, Oct {days}") for days in ("1 – 14", "15 – 31")]
    seats.invoice("2026-10", total, *base, *usage)
