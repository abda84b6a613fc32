"""The SQL condition that selects invoices. Unguarded: callers have checked the permission."""

from __future__ import annotations

import re
from typing import NamedTuple, cast

from sqlmodel import Session

from billing_app.database.session import now
from billing_app.domain.invoice import PaymentStatus
from billing_app.services.customers.queries import find_customer_id, get_customer_id
from billing_app.services.invoices.filters import OUTSTANDING, InvoiceFilter
from billing_app.services.invoices.status_sql import IS_OUTSTANDING, has_age, has_status
from billing_app.services.shared import validation

_NUMBER_OR_ITS_BEGINNING = re.compile(r"(.+)-([0-9]*)", re.ASCII)
_NO_CUSTOMER = 0

# The customers are found first, in the smaller table, because invoices have an index on the customer. A
# search for a number selects that customer's invoices whose number starts with it.
_SEARCH = """
    i.customer_id IN (SELECT c.customer_id FROM customer c
                       WHERE lower(c.name) LIKE lower(%(part)s) OR lower(c.key) LIKE lower(%(part)s)
                          OR c.customer_id = %(numbered_customer)s)
    AND (i.customer_id <> %(numbered_customer)s OR i.number LIKE %(number)s)
"""


class InvoiceSelection(NamedTuple):
    """A condition on `invoice i` LEFT JOIN `open_invoice o`, and its parameters."""

    condition: str
    parameters: dict[str, object]


def select_invoices(session: Session, invoice_filter: InvoiceFilter) -> InvoiceSelection:
    """Return the condition for the filter.

    Raises:
        NotFound: `customer_not_found`.
        Invalid: The filter's status, age, currency or search breaks a rule.
    """
    invoice_filter.check_status()
    conditions = ["true"]
    parameters: dict[str, object] = {"today": now(session).date()}
    if invoice_filter.status == OUTSTANDING:
        conditions.append(IS_OUTSTANDING)
    elif invoice_filter.status is not None:
        conditions.append(has_status(cast(PaymentStatus, invoice_filter.status)))
    if invoice_filter.customer is not None:
        conditions.append("i.customer_id = %(customer_id)s")
        parameters["customer_id"] = get_customer_id(session, invoice_filter.customer)
    if invoice_filter.period is not None:
        conditions.append("i.period_start = %(period)s")
        parameters["period"] = invoice_filter.period
    if age := invoice_filter.find_age():
        conditions.append(has_age(age, "o.due_on"))
    if invoice_filter.currency is not None:
        conditions.append("i.currency = %(currency)s")
        parameters["currency"] = validation.line(
            "currency", invoice_filter.currency, at_most=validation.NAME_MAX
        )
    if invoice_filter.search:
        conditions.append(_SEARCH)
        parameters |= _search_parameters(session, invoice_filter.search)
    return InvoiceSelection(" AND ".join(conditions), parameters)


def _search_parameters(session: Session, search: str) -> dict[str, object]:
    text = validation.line("search", search, at_most=validation.NAME_MAX, required=False)
    number = _NUMBER_OR_ITS_BEGINNING.fullmatch(text)
    customer_id = find_customer_id(session, number[1]) if number else None
    return {
        "part": f"%{validation.like_pattern(text)}%",
        "numbered_customer": customer_id or _NO_CUSTOMER,
        "number": f"{validation.like_pattern(text.upper())}%",
    }
