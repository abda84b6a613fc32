"""Reading the body of `POST /usage/batch` without creating an object per event.

Nearly every body is a plain one: each event has the same fields once, as text or numbers, and nothing
is escaped. Such a body is decoded into reports in a tenth of the time that `loads_exactly` takes. Every
other body is left to it, so that what is refused and why doesn't depend on the way it was read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any, Generic, TypeVar

import msgspec

from billing_app.api.wire.routing import SignedInRoute, loads_exactly
from billing_app.services.usage.recording import UsageReport

# A number or a text that is worth the same whether it is read as text or as a number.
_SAME_AS_TEXT = re.compile(r'"[^"]*"|-?[0-9]{1,20}(?:\.[0-9]{1,20})?')


Row = TypeVar("Row")


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    """An event with a quantity in text. The fields are in the order of `UsageReport`."""

    customer: str
    idempotency_key: str
    quantity: str
    occurred_at: str | None = None


class _RowWithNumber(msgspec.Struct, forbid_unknown_fields=True):
    """An event with any quantity."""

    customer: str
    idempotency_key: str
    quantity: msgspec.Raw
    occurred_at: str | None = None


class _MeteredRow(_Row, forbid_unknown_fields=True):
    """An event with a quantity in text that may name a meter."""

    meter: str | None = None
    item: str | None = None


class _MeteredRowWithNumber(_RowWithNumber, forbid_unknown_fields=True):
    """An event with any quantity that may name a meter."""

    meter: str | None = None
    item: str | None = None


class _Batch(msgspec.Struct, Generic[Row], forbid_unknown_fields=True):
    events: list[Row]


_REQUIRED_NAMES = (b'"customer"', b'"idempotency_key"', b'"quantity"')
_OPTIONAL_NAMES = (b'"occurred_at"', b'"meter"', b'"item"')

_as_report: Callable[[tuple[object, ...]], UsageReport] = partial(tuple.__new__, UsageReport)


def parse_batch(body: bytes) -> Any:
    """Return what `loads_exactly` does, except that the events of a plain body are reports already."""
    reports = _read_plain(body)
    return loads_exactly(body) if reports is None else {"events": reports}


def _read_plain(body: bytes) -> list[UsageReport] | None:
    # Without escapes, a name that occurs once per event is in no event twice. A decoder would not tell.
    if b"\\" in body or body.count(b'"events"') != 1:
        return None
    try:
        rows = _decode_rows(body, has_meters=b'"meter"' in body or b'"item"' in body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if rows is None or any(body.count(name) != len(rows) for name in _REQUIRED_NAMES):
        return None
    # An optional name could be in one event twice and in another not at all.
    for place, name in enumerate(_OPTIONAL_NAMES, len(_REQUIRED_NAMES)):
        count = body.count(name)
        if count and (count != len(rows) or None in map(itemgetter(place), rows)):
            return None
    return list(map(_as_report, rows))


def _decode_rows(body: bytes, *, has_meters: bool) -> list[tuple[object, ...]] | None:
    decoder: msgspec.json.Decoder[Any] = _METERED_DECODER if has_meters else _DECODER
    try:
        return list(map(msgspec.structs.astuple, decoder.decode(body).events))
    except msgspec.ValidationError:
        pass
    decoder = _METERED_DECODER_WITH_NUMBERS if has_meters else _DECODER_WITH_NUMBERS
    rows = decoder.decode(body).events
    quantities = [bytes(row.quantity).decode() for row in rows]
    if not all(map(_SAME_AS_TEXT.fullmatch, quantities)):
        return None
    return [
        (row.customer, row.idempotency_key, quantity.strip('"'), *msgspec.structs.astuple(row)[3:])
        for row, quantity in zip(rows, quantities, strict=True)
    ]


_DECODER = msgspec.json.Decoder(_Batch[_Row])
_DECODER_WITH_NUMBERS = msgspec.json.Decoder(_Batch[_RowWithNumber])
_METERED_DECODER = msgspec.json.Decoder(_Batch[_MeteredRow])
_METERED_DECODER_WITH_NUMBERS = msgspec.json.Decoder(_Batch[_MeteredRowWithNumber])


class BatchRoute(SignedInRoute):
    """A route whose body is read by `parse_batch`."""

    parse_body = staticmethod(parse_batch)
