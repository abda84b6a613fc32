"""Keyset pagination: pages of a list, and opaque cursors for the next page."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Generic, TypeVar

from billing_app.domain.money import EXACT, plain
from billing_app.errors import Invalid

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
Item = TypeVar("Item")
KeyPart = str | int | date | datetime | Decimal
_BIGINT = range(-(2**63), 2**63)
_CURSOR_MAX = 4000
_DIGITS_MAX = 60


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """At most `limit` items, and the cursor of the next page, which is None on the last page."""

    items: tuple[Item, ...]
    next_cursor: str | None


def check_limit(limit: int) -> int:
    """Return the limit; raise Invalid unless it is between 1 and 200."""
    if not isinstance(limit, int) or not 1 <= limit <= LIMIT_MAX:
        raise Invalid("limit", "out_of_range", at_least=1, at_most=LIMIT_MAX)
    return limit


def page_of(found: Sequence[Item], limit: int, key: Callable[[Item], tuple[KeyPart, ...]]) -> Page[Item]:
    """Build a page from `limit + 1` rows; the extra row only signals that more follow."""
    items = tuple(found[:limit])
    has_more = len(found) > limit
    return Page(items, encode_cursor(key(items[-1])) if has_more else None)


def encode_cursor(key: tuple[KeyPart, ...]) -> str:
    """Encode the sort key of a page's last row as an opaque, URL-safe word."""
    parts = [_to_json(part) for part in key]
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def decode_sorted(cursor: str | None, order: str, *kinds: type[KeyPart]) -> tuple[KeyPart, ...] | None:
    """Decode the cursor of a list that can be sorted; such cursors start with the name of their order.

    Raises Invalid as `decode_cursor` does, and for a cursor of another order.
    """
    found = decode_cursor(cursor, str, *kinds)
    if found is None:
        return None
    if found[0] != order:
        raise Invalid("cursor", "not_a_cursor_of_this_order")
    return found[1:]


def decode_cursor(cursor: str | None, *kinds: type[KeyPart]) -> tuple[KeyPart, ...] | None:
    """Return the sort key in a cursor, whose parts have these types. Return None for the first page.

    Raises Invalid for any text that `encode_cursor` would not have produced for this list.
    """
    if not cursor:
        return None
    try:
        key = _decode(cursor, kinds)
    except (binascii.Error, ValueError, TypeError, ArithmeticError, RecursionError):
        key = ()
    # base64, JSON and date parsers accept several spellings of the same value; a cursor has only one.
    if not key or encode_cursor(key) != cursor:
        raise Invalid("cursor", "not_a_cursor")
    return key


def _decode(cursor: str, kinds: tuple[type[KeyPart], ...]) -> tuple[KeyPart, ...]:
    if len(cursor) > _CURSOR_MAX:
        raise ValueError
    parts = json.loads(base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
    if not isinstance(parts, list):
        raise ValueError
    return tuple(_from_json(part, kind) for part, kind in zip(parts, kinds, strict=True))


def _to_json(part: KeyPart) -> str | int:
    if isinstance(part, Decimal):
        return plain(part)
    return part.isoformat() if isinstance(part, date) else part


def _from_json(part: object, kind: type[KeyPart]) -> KeyPart:
    """Convert one part of a key to its type. Raises ValueError if the database can't store it."""
    if kind is int and type(part) is int and part in _BIGINT:
        return part
    if isinstance(part, str) and "\0" not in part and part.encode():
        if kind is str:
            return part
        if kind is datetime:
            return datetime.fromisoformat(part)
        if kind is date:
            return date.fromisoformat(part)
        if kind is Decimal and len(part) <= _DIGITS_MAX:
            number = EXACT.create_decimal(part)
            if number.is_finite():
                return number
    raise ValueError
