"""Ids as the outside sees them: their kind, an underscore, a number."""

from __future__ import annotations

import re

from billing_app.errors import NotFound

_DIGITS = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


def public_id(kind: str, number: int) -> str:
    """`cus`, 12 -> `cus_12`."""
    return f"{kind}_{number}"


def find_number(kind: str, text: str) -> int | None:
    """`cus`, `cus_12` -> 12; None when it is not an id of that kind."""
    head, _, digits = text.partition("_")
    return int(digits) if head == kind and _DIGITS.fullmatch(digits) else None


def get_number(kind: str, text: str, what: str) -> int:
    """As `find_number`; raises NotFound with the code `<what>_not_found`."""
    number = find_number(kind, text)
    if number is None:
        raise NotFound(f"{what}_not_found", named=text)
    return number
