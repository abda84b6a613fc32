"""The customer field of a dialog: suggestions while typing, and resolving the typed customer."""

from __future__ import annotations

import reflex as rx

from billing_app.domain.actor import Actor
from billing_app.errors import Invalid, NotFound
from billing_app.services.customers import customers
from billing_app.services.customers.rows import CustomerFilter, CustomerRow
from billing_app.services.shared import validation
from billing_app.state.kit.lists import TEXT_MAX, Option
from billing_app.state.kit.session import Session, call

SUGGESTIONS_MAX = 8


class NamingState(rx.State):
    """Suggestions for the customer field."""

    suggestions: rx.Field[list[Option]] = rx.field(default_factory=list)

    @rx.event
    async def suggest(self, typed: str) -> None:
        """Suggest customers with the typed text in their name, email or key."""
        search = typed.strip()[:TEXT_MAX] if isinstance(typed, str) else ""
        found = await call(self, search_customers, search) if search else ()
        self.suggestions = [Option(each.key, each.name) for each in found]


def search_customers(session: Session, actor: Actor, search: str) -> tuple[CustomerRow, ...]:
    """Return the first customers with the text in their name, email or key."""
    return customers.list_customers(
        session, actor, CustomerFilter(search=search), limit=SUGGESTIONS_MAX
    ).items


def resolve_customer(session: Session, actor: Actor, typed: str) -> CustomerRow:
    """Return the customer with this key, id or full name.

    Part of a name is not accepted, because what is recorded for the wrong customer can't be undone.

    Raises Invalid (`customer`) with the keys of the matching customers.
    """
    typed = validation.line("customer", typed, at_most=validation.NAME_MAX)
    try:
        return customers.get_customer(session, actor, typed)
    except NotFound:
        same_name = customers.list_named(session, actor, typed, limit=SUGGESTIONS_MAX)
    if len(same_name) > 1:
        raise Invalid("customer", "ambiguous_customer", keys=_list_keys(same_name))
    if same_name:
        return same_name[0]
    similar = search_customers(session, actor, typed)
    if similar:
        raise Invalid("customer", "part_of_a_customer", keys=_list_keys(similar))
    raise Invalid("customer", "no_such_customer")


def _list_keys(found: tuple[CustomerRow, ...]) -> str:
    return ", ".join(each.key for each in found)
