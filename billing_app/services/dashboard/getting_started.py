"""The guide for a new installation: which first steps are done, and whether a user has closed it.

The steps belong to the installation, because a team sets it up together. A user can close the guide for
themselves only, because a colleague may still need it. It disappears for all users when the first invoice
exists and the other steps are done.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.errors import Forbidden
from billing_app.models import Customer, GettingStartedDismissal, Invoice, Plan, UsageEvent
from billing_app.services.invoices.issuer import get_issuer
from billing_app.services.shared.ids import find_number
from billing_app.services.shared.permissions import require


class GettingStarted(NamedTuple):
    """Which steps are done. `example_customer` is the oldest customer's key, or empty if there is none."""

    has_company_details: bool
    has_plan: bool
    has_customer: bool
    has_usage: bool
    has_invoice: bool
    is_dismissed: bool
    example_customer: str

    @property
    def is_complete(self) -> bool:
        """Whether every step is done."""
        return all(
            (self.has_company_details, self.has_plan, self.has_customer, self.has_usage, self.has_invoice)
        )


def get_getting_started(session: Session, actor: Actor) -> GettingStarted:
    """Return which steps are done, and whether the actor has closed the guide."""
    require(actor, Permission.READ)
    oldest = session.scalar(select(Customer.key).order_by(col(Customer.customer_id)).limit(1))
    return GettingStarted(
        has_company_details=get_issuer(session, actor).is_complete,
        has_plan=_has_rows(session, Plan),
        has_customer=oldest is not None,
        has_usage=_has_rows(session, UsageEvent),
        has_invoice=_has_rows(session, Invoice),
        is_dismissed=_is_dismissed(session, actor),
        example_customer=oldest or "",
    )


def dismiss_getting_started(session: Session, actor: Actor) -> None:
    """Close the guide for the actor. Closing it again changes nothing.

    Raises Forbidden for users who can't take its steps, and for actors that are not users.
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    user_id = find_number("usr", actor.id)
    if user_id is None:
        raise Forbidden(reason="not_a_person")
    session.execute(
        insert(GettingStartedDismissal)
        .values(user_id=user_id, dismissed_at=now(session))
        .on_conflict_do_nothing()
    )


def _has_rows(session: Session, table: type[Plan | UsageEvent | Invoice]) -> bool:
    return session.scalar(select(1).select_from(table).limit(1)) is not None


def _is_dismissed(session: Session, actor: Actor) -> bool:
    user_id = find_number("usr", actor.id)
    return user_id is not None and session.get(GettingStartedDismissal, user_id) is not None
