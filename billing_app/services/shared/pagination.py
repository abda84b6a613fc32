"""Keyset pages: a bounded list and an opaque cursor to the next one."""

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
    """At most `limit` items, and the cursor of the next page or None at the end."""

    items: tuple[Item, ...]
    next_cursor: str | None


def check_limit(limit: int) -> int:
    """The limit itself; raises Invalid outside 1 to 200."""
    if not isinstance(limit, int) or not 1 <= limit <= LIMIT_MAX:
        raise Invalid("limit", "out_of_range", at_least=1, at_most=LIMIT_MAX)
    return limit


def page_of(found: Sequence[Item], limit: int, key: Callable[[Item], tuple[KeyPart, ...]]) -> Page[Item]:
    """A page out of `limit + 1` rows asked for: the extra row only tells that there is more."""
    items = tuple(found[:limit])
    more = len(found) > limit
    return Page(items, encode_cursor(key(items[-1])) if more else None)


def encode_cursor(key: tuple[KeyPart, ...]) -> str:
    """The key of a page's last row as an opaque word."""
    parts = [_written(part) for part in key]
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def _written(part: KeyPart) -> str | int:
    if isinstance(part, Decimal):
        return plain(part)
    return part.isoformat() if isinstance(part, date) else part


def decode_sorted(cursor: str | None, order: str, *kinds: type[KeyPart]) -> tuple[KeyPart, ...] | None:
    """As `decode_cursor`, for a list of several orders whose cursors begin with the order's name.

    Raises Invalid for the cursor of another order too: it would begin anywhere.
    """
    found = decode_cursor(cursor, str, *kinds)
    if found is None:
        return None
    if found[0] != order:
        raise Invalid("cursor", "not_a_cursor_of_this_order")
    return found[1:]


def decode_cursor(cursor: str | None, *kinds: type[KeyPart]) -> tuple[KeyPart, ...] | None:
    """The key that `encode_cursor` was given, of these types; None for the first page.

    Raises Invalid for a word that is not a cursor of this list: nothing reaches the database that
    it could not hold.
    """
    if not cursor:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        parts = json.loads(base64.urlsafe_b64decode(padded.encode())) if len(padded) <= _CURSOR_MAX else None
        if not isinstance(parts, list):
            raise ValueError
        return tuple(_part(part, kind) for part, kind in zip(parts, kinds, strict=True))
    except (binascii.Error, ValueError, TypeError, ArithmeticError, RecursionError):
        raise Invalid("cursor", "not_a_cursor") from None


def _part(part: object, kind: type[KeyPart]) -> KeyPart:
    """One part of a cursor as its type; ValueError when it is none."""
    if kind is int and type(part) is int and part in _BIGINT:
        return part
    if isinstance(part, str) and "\0" not in part and part.encode():
        if kind is str:
            return part
        if kind is datetime:
            return datetime.fromisoformat(part)
        if kind is date:
            return date.fromisoformat(part)
        if (
            kind is Decimal
            and len(part) <= _DIGITS_MAX
            and (number := EXACT.create_decimal(part)).is_finite()
        ):
            return number
    raise ValueError
