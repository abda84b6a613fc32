"""Keyset pages: a bounded list and an opaque cursor to the next one."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from billing_app.errors import Invalid

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
Item = TypeVar("Item")
KeyPart = str | int


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """At most `limit` items, and the cursor of the next page or None at the end."""

    items: tuple[Item, ...]
    next_cursor: str | None


def check_limit(limit: int) -> int:
    """The limit itself; raises Invalid outside 1 to 200."""
    if not 1 <= limit <= LIMIT_MAX:
        raise Invalid("limit", f"must be from 1 to {LIMIT_MAX}")
    return limit


def page_of(found: Sequence[Item], limit: int, key: Callable[[Item], tuple[KeyPart, ...]]) -> Page[Item]:
    """A page out of `limit + 1` rows asked for: the extra row only tells that there is more."""
    items = tuple(found[:limit])
    more = len(found) > limit
    return Page(items, encode_cursor(key(items[-1])) if more else None)


def encode_cursor(key: tuple[KeyPart, ...]) -> str:
    """The key of a page's last row as an opaque word."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, *kinds: type[str | int]) -> tuple[KeyPart, ...] | None:
    """The key that `encode_cursor` was given, of these types; None for the first page.

    Raises Invalid for a word that is not a cursor of this list.
    """
    if not cursor:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        parts = json.loads(base64.urlsafe_b64decode(padded.encode()))
    except (binascii.Error, ValueError):
        parts = None
    fits = (
        isinstance(parts, list)
        and len(parts) == len(kinds)
        and all(type(part) is kind for part, kind in zip(parts, kinds, strict=True))
    )
    if not fits:
        raise Invalid("cursor", "must be the next_cursor of an earlier page of this list")
    assert isinstance(parts, list)
    return tuple(parts)
