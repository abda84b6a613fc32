"""Loading the demo into an empty database, once.

It takes hundreds of transactions, so it can be killed between two of them. The first one makes
the users and notes in the audit log that the demo was started, and for which `today`; the last
one notes that it was loaded. A demo that was started and not loaded goes on, for the same
`today`, at the moment of the newest audit entry, since every deed leaves one: what was done
before that moment is done, and what is done at it again finds what it did before.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from billing_app.database import locks
from billing_app.database.session import Database
from billing_app.demo.stage import Stage
from billing_app.demo.story import Story
from billing_app.domain.actor import system
from billing_app.jobs.figures import refresh_figures
from billing_app.jobs.verification import verify
from billing_app.services.audit.log import list_audit_entries
from billing_app.services.customers.customers import list_customers
from billing_app.services.identity.demo_accounts import DEMO_USERS
from billing_app.services.identity.users import UserRow, create_user, list_users
from billing_app.services.shared import audit
from billing_app.services.shared.pagination import LIMIT_MAX

_DEMO = system("demo")


@dataclass(frozen=True, slots=True)
class DemoLoaded:
    """What is there after the demo was loaded, and whether all of it verified."""

    customers: int
    events: int
    invoices: int
    verified: bool
    seconds: float


def load_demo(database: Database, *, today: datetime | None = None) -> DemoLoaded | None:
    """Loads the demo as of `today` (now, unless said), or finishes one that was left half loaded.

    None, and nothing written, when there was a user or a customer before, a loaded demo's
    included. Of two processes at once one loads; the other waits and answers None. The same
    `today` makes the same customers, usage, invoices and payments.
    """
    began = time.monotonic()
    clock = _Clock(today or database.clock())
    own = Database(database.url, clock=clock, pool_size=4)
    try:
        with _alone(database):
            as_of = _begin(own, clock)
            return None if as_of is None else _tell(own, clock, Story(as_of), began)
    finally:
        own.close()


class _Clock:
    """The clock of the demo's own transactions: stands still until the story moves it."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """Waits until no other process loads. The transaction does nothing but hold the lock."""
    with database.transaction(_DEMO) as session:
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": locks.DEMO})
        yield


def _begin(own: Database, clock: _Clock) -> datetime | None:
    """The `today` of the demo to be told, noted now or by who left it half; None without one."""
    story = Story(clock.moment)
    clock.moment = story.opening

    def work(session: Session) -> datetime | None:
        noted = list_audit_entries(session, _DEMO, subject="demo", limit=1).items
        if noted:
            unfinished = noted[0].action == "demo.started"
            return datetime.fromisoformat(str(noted[0].details["today"])) if unfinished else None
        if list_users(session, _DEMO, limit=1).items or list_customers(session, _DEMO, limit=1).items:
            return None
        for each in DEMO_USERS:
            create_user(
                session, _DEMO, email=each.email, name=each.name, role=each.role, password=each.password
            )
        audit.record(session, _DEMO, "demo.started", "demo", today=story.today.isoformat())
        return story.today

    return own.run(_DEMO, work)


def _users(session: Session) -> list[UserRow]:
    """The demo's own."""
    emails = {user.email for user in DEMO_USERS}
    page = list_users(session, _DEMO)
    return [user for user in page.items if user.email in emails]


def _reached(session: Session, story: Story) -> datetime:
    """The moment of the last deed that is done, at least in part.

    What others did since a demo was left half loaded, they did after its `today`.
    """
    newest = list_audit_entries(session, _DEMO, limit=LIMIT_MAX).items
    return next((entry.at for entry in newest if entry.at <= story.today), story.opening)


def _tell(own: Database, clock: _Clock, story: Story, began: float) -> DemoLoaded:
    stage = Stage(own, own.run(_DEMO, _users))
    reached = own.run(_DEMO, lambda session: _reached(session, story))
    for deed in story.deeds():
        if deed.at >= reached:
            clock.moment = deed.at
            deed.do(stage)
    clock.moment = story.today
    report = verify(own, stage.admin)
    # The first page that somebody sees has its numbers.
    refresh_figures(own)
    own.run(_DEMO, lambda session: audit.record(session, _DEMO, "demo.loaded", "demo", ok=report.ok))
    return DemoLoaded(
        customers=report.checked.customers,
        events=report.checked.events,
        invoices=report.checked.invoices,
        verified=report.ok,
        seconds=time.monotonic() - began,
    )
