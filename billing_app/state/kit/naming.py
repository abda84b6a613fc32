"""Naming a customer in a dialog: suggestions while somebody types, and who is meant by what was typed."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.errors import Invalid, NotFound
from billing_app.services.customers import customers
from billing_app.services.customers.rows import CustomerFilter, CustomerRow
from billing_app.services.shared import validation
from billing_app.state.kit.lists import TEXT_MAX, Option
from billing_app.state.kit.session import call

SUGGESTED = 8


class NamingState(rx.State):
    """The customers that somebody may mean who types."""

    suggestions: rx.Field[list[Option]] = rx.field(default_factory=list)

    @rx.event
    async def suggest(self, begun: str) -> None:
        """Offer the customers that what is typed fits."""
        wanted = begun.strip()[:TEXT_MAX] if isinstance(begun, str) else ""
        found = await call(self, customers_fitting, wanted) if wanted else ()
        self.suggestions = [Option(each.key, each.name) for each in found]


def customers_fitting(session: Any, actor: Any, wanted: str) -> tuple[CustomerRow, ...]:
    """The first of those with the text in their name, email or key."""
    return customers.list_customers(session, actor, CustomerFilter(search=wanted), limit=SUGGESTED).items


def customer_meant(session: Any, actor: Any, named: str) -> CustomerRow:
    """The customer of this key, id or full name: what is made for it can't be unmade, so none is guessed.

    Raises Invalid (`customer`), with the keys of those that may be meant.
    """
    named = validation.line("customer", named, at_most=validation.NAME_MAX)
    try:
        return customers.get_customer(session, actor, named)
    except NotFound:
        exactly = customers.list_named(session, actor, named, limit=SUGGESTED)
    if len(exactly) > 1:
        raise Invalid("customer", "ambiguous_customer", keys=_keys(exactly))
    if exactly:
        return exactly[0]
    near = customers_fitting(session, actor, named)
    if near:
        raise Invalid("customer", "part_of_a_customer", keys=_keys(near))
    raise Invalid("customer", "no_such_customer")


def _keys(found: tuple[CustomerRow, ...]) -> str:
    return ", ".join(each.key for each in found)
