"""Reports as the text that COPY reads into a table of position, customer, key, quantity and time.

If any of them names a meter, an item or an event type, or has no quantity, each row of the text also has
those three columns.

Nearly all reports consist of plain text that PostgreSQL reads exactly as our parsers do. One pattern
recognizes them, which takes a fifth of the time of parsing them into numbers and dates and writing
those as text again. The other reports are parsed one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from billing_app.domain.money import plain
from billing_app.errors import Invalid
from billing_app.services.plans.meters import METER_CODE
from billing_app.services.usage.recording_sql import IncomingRow

_NULL = r"\N"
_CUSTOMER_ID = r"cus_[1-9][0-9]{0,17}"
_CUSTOMER_KEY = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
# Visible ASCII and spaces, without a space at the start and without a backslash, which COPY interprets.
_KEY = r"[!-\[\]-~][ -\[\]-~]{0,254}"
_QUANTITY = r"[0-9]{1,14}(?:\.[0-9]{1,6})?"
# Every year has these days. The years leave room for any offset from UTC.
_DAY = (
    r"20[0-9]{2}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    r"|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
_OFFSET = r"(?:[Zz]|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])"
_ROW = (
    rf"[0-9]+\t(?:{_CUSTOMER_ID}|(?!cus_){_CUSTOMER_KEY})\t{_KEY}\t{_QUANTITY}"
    rf"\t(?:\\N|{_DAY}[Tt ]{_TIME}{_OFFSET})"
)
_METERED_ROW = (
    rf"[0-9]+\t(?:{_CUSTOMER_ID}|(?!cus_){_CUSTOMER_KEY})\t{_KEY}\t(?:\\N|{_QUANTITY})"
    rf"\t(?:\\N|{_DAY}[Tt ]{_TIME}{_OFFSET})\t(?:\\N|{METER_CODE.pattern})\t(?:\\N|{_KEY})\t(?:\\N|{_KEY})"
)
_PLAIN_ROW = {False: re.compile(_ROW), True: re.compile(_METERED_ROW)}
_PLAIN_ROWS = {
    has_meters: re.compile(rf"(?:{row}\n)*+") for has_meters, row in ((False, _ROW), (True, _METERED_ROW))
}
_POSSIBLE_KEY = re.compile(rf"(?!cus_){_CUSTOMER_KEY}")
_WHOLE_NUMBER_MAX = 10**14
_WIDTH_MAX = 7
_REPORT_WIDTHS = {4, 6, _WIDTH_MAX}
_OF_OTHER_WIDTH = ("", "", "", "")
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})

Report = TypeVar("Report", bound=tuple[object, ...])


class CopyText(NamedTuple):
    """The text of the well-formed reports, their number, and what is wrong with each of the others.

    `has_meters` says whether the text has the columns meter, item and event type.
    """

    text: str
    rows: int
    has_meters: bool
    refusals: list[tuple[int, Invalid]]


def to_copy_text(reports: Sequence[Report], parse: Callable[[int, Report], IncomingRow]) -> CopyText:
    """Write reports as the text of COPY, in their order.

    A report is a tuple of customer, key, quantity and time, and possibly meter, item and event type. One of
    another width is left to `parse`.
    `parse` is called with the position and the report for each one that isn't plain text. It raises
    Invalid for an unacceptable one.
    """
    if not reports:
        return CopyText("", 0, False, [])
    columns = _read_columns(reports)
    has_meters = None in columns[2] or any(column.count(None) < len(reports) for column in columns[4:])
    lines: list[str | None] = list(_join_metered(columns) if has_meters else _join_columns(columns[:4]))
    text = _join_lines(lines)
    # As many line ends as reports: no value contains one and passes for two rows.
    if text.count("\n") == len(reports) and _PLAIN_ROWS[has_meters].fullmatch(text):
        return CopyText(text, len(reports), has_meters, [])
    refusals = []
    for position, line in enumerate(lines):
        if line is None or not _PLAIN_ROW[has_meters].fullmatch(line):
            try:
                lines[position] = _to_line(parse(position, reports[position]), has_meters)
            except Invalid as refusal:
                lines[position] = None
                refusals.append((position, refusal))
    return CopyText(_join_lines(lines), len(reports) - len(refusals), has_meters, refusals)


def _join_lines(lines: Sequence[str | None]) -> str:
    return "".join([f"{line}\n" for line in lines if line is not None])


def _read_columns(reports: Sequence[tuple[object, ...]]) -> list[tuple[Any, ...]]:
    """Return the values of each field, and empty text for a report of another width."""
    widths = set(map(len, reports))
    width = max(widths & _REPORT_WIDTHS, default=_WIDTH_MAX)
    if widths != {width}:
        reports = [report if len(report) == width else _widened(report, width) for report in reports]
    return list(zip(*reports, strict=True))


def _widened(report: tuple[object, ...], width: int) -> tuple[object, ...]:
    known = report if len(report) in _REPORT_WIDTHS else _OF_OTHER_WIDTH
    return (*known, None, None, None)[:width]


def _join_columns(columns: Sequence[tuple[Any, ...]]) -> list[str]:
    """Return a line for each report. It isn't plain if a value isn't text and has no plain text."""
    customers, keys, quantities, moments = columns
    positions = map(str, range(len(customers)))
    if _NULL not in moments:
        try:
            return list(map("\t".join, zip(positions, customers, keys, quantities, moments, strict=True)))
        except TypeError:
            positions = map(str, range(len(customers)))
    return [
        "\t".join(cells)
        for cells in zip(
            positions,
            ["" if type(customer) is not str else customer for customer in customers],
            ["" if type(key) is not str else key for key in keys],
            map(_quantity_text, quantities),
            map(_optional_text, moments),
            strict=True,
        )
    ]


def _join_metered(columns: Sequence[tuple[Any, ...]]) -> list[str]:
    """Return a line for each report, with the columns about meters."""
    customers, keys, quantities, *others = columns
    others += [(None,) * len(customers)] * (_WIDTH_MAX - len(columns))
    return [
        "\t".join(cells)
        for cells in zip(
            map(str, range(len(customers))),
            ["" if type(customer) is not str else customer for customer in customers],
            ["" if type(key) is not str else key for key in keys],
            [
                _optional_text(_quantity_text(quantity)) if quantity is not None else _NULL
                for quantity in quantities
            ],
            *([_optional_text(value) for value in column] for column in others),
            strict=True,
        )
    ]


def _quantity_text(quantity: object) -> str:
    if type(quantity) is str:
        return quantity
    is_number = type(quantity) is Decimal or (type(quantity) is int and quantity < _WHOLE_NUMBER_MAX)
    return str(quantity) if is_number else ""


def _optional_text(value: object) -> str:
    """Return the null of COPY only for None, and not for text that looks like it."""
    if value is None:
        return _NULL
    return value if type(value) is str and value != _NULL else ""


def _to_line(row: IncomingRow, has_meters: bool) -> str:
    customer = _NULL
    if row.customer_id is not None:
        customer = f"cus_{row.customer_id}"
    elif row.customer_key is not None and _POSSIBLE_KEY.fullmatch(row.customer_key):
        customer = row.customer_key
    moment = _NULL if row.occurred_at is None else row.occurred_at.isoformat()
    quantity = _NULL if row.quantity is None else plain(row.quantity)
    cells = [str(row.position), customer, _escape(row.idempotency_key), quantity, moment]
    if has_meters:
        cells += [
            _NULL if value is None else _escape(value) for value in (row.meter, row.item, row.event_type)
        ]
    return "\t".join(cells)


def _escape(text: str) -> str:
    """Escape what COPY interprets."""
    return text.translate(_ESCAPES)
