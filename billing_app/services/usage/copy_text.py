"""Reports as the text that COPY reads into a table of position, customer, key, quantity and time.

Nearly all reports consist of plain text that PostgreSQL reads exactly as our parsers do. One pattern
recognizes them, which takes a fifth of the time of parsing them into numbers and dates and writing
those as text again. The other reports are parsed one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple, TypeVar

from billing_app.domain.money import plain
from billing_app.errors import Invalid
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
_PLAIN_ROW = re.compile(_ROW)
_PLAIN_ROWS = re.compile(rf"(?:{_ROW}\n)*+")
_POSSIBLE_KEY = re.compile(rf"(?!cus_){_CUSTOMER_KEY}")
_WHOLE_NUMBER_MAX = 10**14

Report = TypeVar("Report", bound=tuple[object, ...])


class CopyText(NamedTuple):
    """The text of the well-formed reports, their number, and what is wrong with each of the others."""

    text: str
    rows: int
    refusals: list[tuple[int, Invalid]]


def to_copy_text(reports: Sequence[Report], parse: Callable[[int, Report], IncomingRow]) -> CopyText:
    """Write reports as the text of COPY, in their order.

    A report is a tuple of customer, key, quantity and time; one of another width is left to `parse`.
    `parse` is called with the position and the report for each one that isn't plain text. It raises
    Invalid for an unacceptable one.
    """
    if not reports:
        return CopyText("", 0, [])
    lines: list[str | None] = list(_join_columns(reports))
    text = _join_lines(lines)
    # As many line ends as reports: no value contains one and passes for two rows.
    if text.count("\n") == len(reports) and _PLAIN_ROWS.fullmatch(text):
        return CopyText(text, len(reports), [])
    refusals = []
    for position, line in enumerate(lines):
        if line is None or not _PLAIN_ROW.fullmatch(line):
            try:
                lines[position] = _to_line(parse(position, reports[position]))
            except Invalid as refusal:
                lines[position] = None
                refusals.append((position, refusal))
    return CopyText(_join_lines(lines), len(reports) - len(refusals), refusals)


def _join_lines(lines: Sequence[str | None]) -> str:
    return "".join([f"{line}\n" for line in lines if line is not None])


def _join_columns(reports: Sequence[tuple[object, ...]]) -> list[str]:
    """Return a line for each report. It isn't plain if a value isn't text and has no plain text."""
    width_four = [report if len(report) == 4 else ("", "", "", "") for report in reports]
    positions = map(str, range(len(reports)))
    customers, keys, quantities, moments = zip(*width_four, strict=True)
    if _NULL not in moments:
        try:
            return list(map("\t".join, zip(positions, customers, keys, quantities, moments, strict=True)))
        except TypeError:
            positions = map(str, range(len(reports)))
    return [
        "\t".join(cells)
        for cells in zip(
            positions,
            ["" if type(customer) is not str else customer for customer in customers],
            ["" if type(key) is not str else key for key in keys],
            map(_quantity_text, quantities),
            map(_moment_text, moments),
            strict=True,
        )
    ]


def _quantity_text(quantity: object) -> str:
    if type(quantity) is str:
        return quantity
    is_number = type(quantity) is Decimal or (type(quantity) is int and quantity < _WHOLE_NUMBER_MAX)
    return str(quantity) if is_number else ""


def _moment_text(moment: object) -> str:
    """Return the null of COPY only for None, and not for text that looks like it."""
    if moment is None:
        return _NULL
    return moment if type(moment) is str and moment != _NULL else ""


def _to_line(row: IncomingRow) -> str:
    customer = _NULL
    if row.customer_id is not None:
        customer = f"cus_{row.customer_id}"
    elif row.customer_key is not None and _POSSIBLE_KEY.fullmatch(row.customer_key):
        customer = row.customer_key
    # Keys contain no control characters, so nothing else needs to be escaped.
    key = row.idempotency_key.replace("\\", "\\\\")
    moment = _NULL if row.occurred_at is None else row.occurred_at.isoformat()
    return f"{row.position}\t{customer}\t{key}\t{plain(row.quantity)}\t{moment}"
