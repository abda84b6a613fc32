"""Reports that are copied as they are mean the same as when they are parsed."""

from __future__ import annotations

import random
from decimal import Decimal

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_app.errors import Invalid
from billing_app.services.usage.copy_text import to_copy_text
from billing_app.services.usage.recording import UnreadableReport, UsageReport, parse_report
from billing_app.services.usage.recording_sql import IncomingRow

PLAIN = UsageReport("acme", "meter 7/2026", "1530.5", "2026-10-31T23:00:00Z")
_TABLE = (
    "CREATE TEMPORARY TABLE copied (position integer, customer text, idempotency_key text,"
    " quantity numeric, occurred_at timestamptz, meter text, item text, event_type text)"
)
_COLUMNS = (
    "position", "customer", "idempotency_key", "quantity", "occurred_at", "meter", "item", "event_type",
)  # fmt: skip

# Pieces of values, from which both acceptable ones and many kinds of unacceptable ones are composed.
_CUSTOMERS = [
    "acme",
    "Acme.1",
    "cus_12",
    "cus_0",
    "cus_x",
    "CUS_1",
    "_a",
    "K",
    "a b",
    "a" * 64,
    "",
    "\\N",
    "\t",
    5,
]
_KEYS = [
    "k",
    " k",
    "a b",
    "a\\b",
    "a\\",
    "\\N",
    "\\.",
    "é",
    "a\tb",
    "a\nb",
    "x" * 255,
    "x" * 256,
    " ",
    "",
    None,
    1,
]
_QUANTITIES = [
    "1", "1.5", "007", "0.123456", "0.1234567", "1.", ".5", "+1", "-1", "1e3", "1_0", " 1", "12345678901234",
    "123456789012345", "NaN", "", "\\N", None, True, 3, 10**20, -1, Decimal("2.50"), Decimal("1e-7"), 1.5,
]  # fmt: skip
_DAYS = ["2026-10-31", "2026-02-28", "2026-02-29", "2028-02-29", "2026-04-31", "2026-13-01", "1969-12-31",
         "1970-01-01", "2099-12-31", "2100-01-01", "9998-12-31", "0001-01-01", "26-10-31"]  # fmt: skip
_TIMES = ["T23:59:59", "t00:00:00", " 12:30:00", "T24:00:00", "T12:60:00", "T12:00:60", "T12:00", "T1:00:00"]
_FRACTIONS = ["", ".5", ".123456", ".1234567", ".", ",5"]
_OFFSETS = ["Z", "z", "+00:00", "-00:00", "+14:59", "+15:00", "-23:59", "+05:60", "", " UTC", "+0100"]
_MOMENTS = st.one_of(
    st.sampled_from([None, "", "\\N", "now", "infinity", "epoch", 1]),
    st.builds("{}{}{}{}".format, *map(st.sampled_from, (_DAYS, _TIMES, _FRACTIONS, _OFFSETS))),
)
_METERS = [None, "seats", "a" * 63, "a" * 64, "Seats", "a b", "", "\\N", "é", 5]
_TYPES = [None, "com.example.call", " x ", "a\\b", "a\tb\r\n", "\\N", "é", "\0", "\udfff", "x" * 256]
_NO_METERS = st.just((None, None, None))
_ALL_METERS = st.tuples(*map(st.sampled_from, (_METERS, _KEYS, _TYPES)))
_REPORTS = st.builds(
    lambda *values: UsageReport(*values[:4], *values[4]),
    *map(st.sampled_from, (_CUSTOMERS, _KEYS, _QUANTITIES)),
    _MOMENTS,
    st.one_of(_NO_METERS, _ALL_METERS),
)


def each_value(plain: UsageReport) -> list[UsageReport]:
    """Return variants of a plain report that each differ in one value."""
    moments = [
        f"{day}{time}{fraction}{offset}"
        for day in _DAYS for time in _TIMES for fraction in _FRACTIONS for offset in _OFFSETS
    ]  # fmt: skip
    return [
        *(plain._replace(customer=value) for value in _CUSTOMERS),
        *(plain._replace(idempotency_key=value) for value in _KEYS),
        *(plain._replace(quantity=value) for value in _QUANTITIES),
        *(plain._replace(meter=value) for value in _METERS),
        *(plain._replace(item=value) for value in _KEYS),
        *(plain._replace(event_type=value) for value in _TYPES),
        *(plain._replace(occurred_at=value) for value in [None, "", "\\N", "now", "infinity", *moments]),
    ]


def copied_rows(connection: psycopg.Connection, text: str) -> list[tuple[object, ...]]:
    connection.execute("TRUNCATE copied")
    width = text.partition("\n")[0].count("\t") + 1
    columns = ", ".join(_COLUMNS[:width])
    with connection.cursor().copy(f"COPY copied ({columns}) FROM STDIN") as copy:
        copy.write(text)
    return connection.execute("SELECT * FROM copied ORDER BY position").fetchall()


def parsed_rows(reports: list[UsageReport]) -> list[tuple[object, ...]]:
    """Return what the copied rows must be, by the parsers alone."""
    rows = []
    for position, report in enumerate(reports):
        try:
            row = parse_report(position, report)
        except Invalid:
            continue
        values = (row.idempotency_key, row.quantity, row.occurred_at, row.meter, row.item, row.event_type)
        rows.append((position, customer_of(row), *values))
    return rows


def customer_of(row: IncomingRow) -> str | None:
    return f"cus_{row.customer_id}" if row.customer_id is not None else row.customer_key


def in_lower_case(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Return copied rows with the customers as parsing writes them: keys in lower case."""
    return [(row[0], row[1].lower() if isinstance(row[1], str) else None, *row[2:]) for row in rows]


def without_impossible_keys(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Return parsed rows with None for customers that can't exist, as copying writes them."""
    impossible = {"cus_0", "cus_x", "_a", "a b", "a" * 64, "\\n", "\t"}
    return [(row[0], None if row[1] in impossible else row[1], *row[2:]) for row in rows]


def test_copied_values_are_the_parsed_ones(owner: psycopg.Connection) -> None:
    owner.execute(_TABLE)
    reports = each_value(PLAIN)
    random.Random(7).shuffle(reports)
    text, count, has_meters, refusals = to_copy_text(reports, parse_report)
    assert has_meters
    assert count + len(refusals) == len(reports)
    assert in_lower_case(copied_rows(owner, text)) == without_impossible_keys(parsed_rows(reports))


@settings(max_examples=300, deadline=None)
@given(reports=st.lists(_REPORTS, max_size=8))
def test_same_reports_are_refused_as_by_parsing(reports: list[UsageReport]) -> None:
    _, count, _, refusals = to_copy_text(reports, parse_report)
    accepted = {row[0] for row in parsed_rows(reports)}
    assert {position for position, _ in refusals} == set(range(len(reports))) - accepted
    assert count == len(accepted)


def test_plain_reports_are_not_parsed() -> None:
    def parse(position: int, report: UsageReport) -> IncomingRow:
        raise AssertionError(report)

    reports = [
        PLAIN,
        PLAIN._replace(customer="cus_12", occurred_at=None),
        PLAIN._replace(quantity=Decimal("2.50")),
        PLAIN._replace(quantity=7, occurred_at="2026-10-31T23:00:00.123456+02:00"),
    ]
    assert to_copy_text(reports, parse).rows == 4
    assert to_copy_text(reports[:1], parse).text == "0\tacme\tmeter 7/2026\t1530.5\t2026-10-31T23:00:00Z\n"
    metered = [PLAIN._replace(meter="seats", item="ada"), PLAIN._replace(quantity=None, event_type="call")]
    assert to_copy_text([*reports, *metered], parse).rows == 6


@pytest.mark.parametrize("width", [4, 6, 7])
def test_shorter_reports_lack_only_the_last_values(width: int) -> None:
    shorter = tuple.__new__(UsageReport, PLAIN[:width])
    assert to_copy_text([shorter, shorter], parse_report) == to_copy_text([PLAIN, PLAIN], parse_report)
    with_meter = PLAIN._replace(meter="seats")
    assert to_copy_text([shorter, with_meter], parse_report) == to_copy_text(
        [PLAIN, with_meter], parse_report
    )


@pytest.mark.parametrize(
    "value", ["k\t1\t2026-10-31T23:00:00Z\n1\tacme\tk", "k\n", "k\t1", "\n\\.\n", "k\\n"]
)
def test_one_report_never_becomes_two_rows(owner: psycopg.Connection, value: str) -> None:
    owner.execute(_TABLE)
    reports = [PLAIN._replace(idempotency_key=value), PLAIN]
    text = to_copy_text(reports, parse_report).text
    assert copied_rows(owner, text) == parsed_rows(reports)


def test_unreadable_reports_are_refused_with_their_own_reason() -> None:
    unreadable = UnreadableReport("row", "wrong_width", {"expected": 4})
    copied = to_copy_text([PLAIN, unreadable, PLAIN], parse_report)
    [(position, refusal)] = copied.refusals
    assert (position, refusal.errors[0].field, refusal.errors[0].rule) == (1, "row", "wrong_width")
    assert [line.partition("\t")[0] for line in copied.text.splitlines()] == ["0", "2"]
