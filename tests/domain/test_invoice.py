from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_app.domain.invoice import (
    BilledCustomer,
    InvoiceContent,
    Issuer,
    canonical_content,
    content_sha256,
    due_date,
    invoice_number,
    payment_status,
    split_invoice_number,
)
from tests.domain.months import NOVEMBER, OCTOBER, late_lines_of, lines_of, per_unit, plan

STANDARD = plan(2900, per_unit("1000", "0.0125"))
DUE = date(2026, 12, 1)


def content(**changes: Any) -> InvoiceContent:
    lines = lines_of(STANDARD, "1530", NOVEMBER) + late_lines_of(STANDARD, "900", "1200")
    made = InvoiceContent(
        number="ACME-0002",
        period_start=NOVEMBER,
        currency="USD",
        issued_at=datetime(2026, 12, 1, 0, 0, 1, tzinfo=UTC),
        due_on=date(2026, 12, 31),
        issuer=Issuer("Tally Ltd", "1 High Street\nTown", "billing@tally.example", "IBAN GB00"),
        customer=BilledCustomer("acme", "Äcme", "billing@acme.example", ""),
        lines=lines,
        total_minor=sum(line.amount_minor for line in lines),
        previous_sha256="0" * 64,
    )
    return made._replace(**changes)


def test_hash_of_an_invoice_is_stable() -> None:
    """If this hash changed, verification would fail for every existing invoice."""
    assert content_sha256(content()) == ("d066d5773659ca0e56aebd59b9f2c3baf36ebedf595be5db7518e05aae220554")


def test_hash_can_be_reproduced_from_the_fields() -> None:
    document = json.loads(canonical_content(content()))
    assert document["total"] == "38.13"
    assert [line["amount"] for line in document["lines"]] == ["29.00", "6.63", "2.50"]
    assert document["lines"][1]["exact_amount"] == "6.625"
    again = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert hashlib.sha256(again).hexdigest() == content_sha256(content())


def test_content_is_encoded_as_any_json_library_would() -> None:
    every_character = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    made = canonical_content(content(issuer=Issuer(every_character, "", "", "")))
    again = json.dumps(json.loads(made), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert made == again.encode()


def test_spelling_and_offset_do_not_change_the_hash() -> None:
    """The database may return numbers with other trailing zeros and timestamps with other offsets."""

    def padded(number: Decimal | None) -> Decimal | None:
        return number if number is None else number.quantize(Decimal("0.000000000000000001"))

    fields = ("quantity", "quantity_before", "quantity_after", "included_quantity", "billed_quantity",
              "unit_price", "exact_amount", "exact_amount_before")  # fmt: skip
    lines = tuple(
        line._replace(**{field: padded(getattr(line, field)) for field in fields}) for line in content().lines
    )
    elsewhere = content().issued_at.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert content_sha256(content(lines=lines, issued_at=elsewhere)) == content_sha256(content())


def test_hash_covers_every_field() -> None:
    original = content()
    changed = {
        "number": "ACME-0003", "period_start": OCTOBER, "currency": "EUR", "due_on": DUE, "total_minor": 1,
        "issued_at": original.issued_at + timedelta(microseconds=1), "previous_sha256": "1" * 64,
        "lines": original.lines[:-1],
    }  # fmt: skip
    assert changed.keys() | {"issuer", "customer"} == set(InvoiceContent._fields)
    others = [content(**{field: value}) for field, value in changed.items()]
    others += [content(issuer=original.issuer._replace(**{field: "x"})) for field in Issuer._fields]
    others += [
        content(customer=original.customer._replace(**{field: "x"})) for field in BilledCustomer._fields
    ]
    for field, value in original.lines[-1]._asdict().items():
        # What a line doesn't have is None, and any value in its place changes the hash too.
        other: Any = (
            "x" if isinstance(value, str) else (value or 0) + 1 if not isinstance(value, date) else DUE
        )
        others.append(content(lines=(*original.lines[:-1], original.lines[-1]._replace(**{field: other}))))
    hashes = [content_sha256(each) for each in (original, *others)]
    assert len(set(hashes)) == len(hashes)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", fullmatch=True), st.integers(1, 999_999_999))
def test_number_names_its_customer_and_sequence(key: str, sequence: int) -> None:
    number = invoice_number(key, sequence)
    assert number == number.upper()
    assert split_invoice_number(number) == (key.lower(), sequence)
    assert split_invoice_number(number.lower()) == (key.lower(), sequence)


@pytest.mark.parametrize(
    "number", ["", "-", "ACME", "ACME-", "ACME-1", "ACME-0000", "ACME-00001", "-0001", "ACME-00x1", "ACME-٠٠٠١", "ACME-1234567890"]
)  # fmt: skip
def test_malformed_number_is_none(number: str) -> None:
    assert split_invoice_number(number) is None


def test_numbers_grow_past_four_digits() -> None:
    assert [invoice_number("a-1", each) for each in (1, 9999, 10000)] == ["A-1-0001", "A-1-9999", "A-1-10000"]


@pytest.mark.parametrize(
    ("total", "paid", "today", "status"),
    [
        (100, 0, DUE, "unpaid"),
        (100, 1, DUE, "partially_paid"),
        (100, 99, DUE + timedelta(days=1), "overdue"),
        (100, 0, DUE + timedelta(days=1), "overdue"),
        (100, 100, DUE + timedelta(days=99), "paid"),
        (0, 0, DUE - timedelta(days=30), "paid"),
        (0, 0, DUE + timedelta(days=1), "paid"),
    ],
)
def test_payment_status(total: int, paid: int, today: date, status: str) -> None:
    assert payment_status(total, paid, DUE, today) == status


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.dates(), st.dates())
def test_status_says_whether_a_balance_is_outstanding_and_late(
    total: int, paid: int, due: date, today: date
) -> None:
    status = payment_status(total, paid, due, today)
    assert (status == "paid") == (paid >= total)
    assert (status == "overdue") == (paid < total and today > due)
    assert (status == "partially_paid") == (0 < paid < total and today <= due)


@pytest.mark.parametrize(
    ("issued_at", "due"),
    [
        ("2026-11-01T00:00:00+00:00", date(2026, 12, 1)),
        ("2026-11-01T00:30:00+01:00", date(2026, 11, 30)),
        ("2024-01-30T12:00:00+00:00", date(2024, 2, 29)),
        ("2026-01-30T12:00:00+00:00", date(2026, 3, 1)),
    ],
)
def test_invoice_is_due_thirty_utc_days_after_issue(issued_at: str, due: date) -> None:
    assert due_date(datetime.fromisoformat(issued_at)) == due
