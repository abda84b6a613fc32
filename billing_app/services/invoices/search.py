"""Finding invoices by what somebody types: a number or its beginning, or a part of who is billed."""

from __future__ import annotations

import re
from typing import Any

from sqlmodel import Session

from billing_app.services.customers.queries import find_customer_id
from billing_app.services.shared import validation

_NUMBER = re.compile(r"(.+)-([0-9]*)", re.ASCII)
_NOBODY = 0

# Whoever is meant first, by the short table: their invoices have an index. Of the customer whose
# key the number has, only what begins like the number.
_CONDITION = """
    i.customer_id IN (SELECT c.customer_id FROM customer c
                       WHERE lower(c.name) LIKE lower(%(searched)s) OR lower(c.key) LIKE lower(%(searched)s)
                          OR c.customer_id = %(numbered)s)
    AND (i.customer_id <> %(numbered)s OR i.number LIKE %(beginning)s)
"""


def found_by(session: Session, search: object) -> tuple[str, dict[str, Any]]:
    """The condition on `invoice i` for what was typed, and its parameters. Raises Invalid."""
    typed = validation.line("search", search, at_most=validation.NAME_MAX, required=False)
    number = _NUMBER.fullmatch(typed)
    numbered = find_customer_id(session, number[1]) if number else None
    return _CONDITION, {
        "searched": f"%{validation.like_pattern(typed)}%",
        "numbered": numbered or _NOBODY,
        "beginning": f"{validation.like_pattern(typed.upper())}%",
    }
