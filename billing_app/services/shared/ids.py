"""Public ids: the kind of a thing, an underscore, and its number."""

from __future__ import annotations

import re

from billing_app.errors import NotFound

_DIGITS = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


def public_id(kind: str, number: int) -> str:
    """Return the public id of a number: `cus`, 12 -> `cus_12`."""
    return f"{kind}_{number}"


def find_number(kind: str, text: str) -> int | None:
    """Return the number in a public id: `cus`, `cus_12` -> 12. Return None for other text."""
    head, _, digits = text.partition("_")
    return int(digits) if head == kind and _DIGITS.fullmatch(digits) else None


def get_number(kind: str, text: str, what: str) -> int:
    """Return the number in a public id; raise NotFound with the code `<what>_not_found` for another kind."""
    number = find_number(kind, text)
    if number is None:
        raise NotFound(f"{what}_not_found", named=text)
    return number
