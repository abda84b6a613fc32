"""Load the demo into an empty database, once.

Loading takes hundreds of transactions and can be interrupted between two of them. The first transaction
creates the users and records the start of loading and its `today` in the audit log. The last one records that
loading is finished. If loading was interrupted, it resumes for the same `today`, at the time of the newest
audit entry. Every action leaves an entry, so all earlier actions are done, and an action at that time can be
repeated.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from billing_app.database import locks
from billing_app.database.session import Database
from billing_app.demo.actions import Actions
from billing_app.demo.timeline import Timeline
from billing_app.domain.actor import system
from billing_app.jobs.figures import refresh_figures
from billing_app.jobs.leadership import lock
from billing_app.jobs.verification import verify
from billing_app.services.audit.log import list_audit_entries
from billing_app.services.customers.customers import list_customers
from billing_app.services.identity.demo_accounts import DEMO_USERS
from billing_app.services.identity.rows import UserRow
from billing_app.services.identity.users import create_user, list_users
from billing_app.services.shared import audit
from billing_app.services.shared.pagination import LIMIT_MAX

_DEMO = system("demo")


@dataclass(frozen=True, slots=True)
class DemoLoaded:
    """What the loaded demo contains, and whether verification found no discrepancies."""

    customers: int
    events: int
    invoices: int
    verified: bool
    seconds: float


def load_demo(database: Database, *, today: datetime | None = None) -> DemoLoaded | None:
    """Load the demo as of `today`, by default now, or resume loading after an interruption.

    Returns None and writes nothing if there is already a user or a customer, which includes a loaded
    demo. If two processes load at once, one waits and returns None. The same `today` always creates
    the same customers, usage, invoices and payments.
    """
    started = time.monotonic()
    clock = _Clock(today or database.clock())
    own = Database(database.url, clock=clock, pool_size=4)
    try:
        with lock(database, _DEMO, locks.DEMO):
            as_of = _start(own, clock)
            return None if as_of is None else _perform(own, clock, Timeline(as_of), started)
    finally:
        own.close()


class _Clock:
    """The clock of the demo's transactions, which only moves from step to step."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment


def _start(own: Database, clock: _Clock) -> datetime | None:
    """Record the start of loading. Return the demo's `today`, or None if the database isn't empty."""
    timeline = Timeline(clock.moment)
    clock.moment = timeline.opening

    def work(session: Session) -> datetime | None:
        recorded = list_audit_entries(session, _DEMO, subject="demo", limit=1).items
        if recorded:
            is_unfinished = recorded[0].action == "demo.started"
            return datetime.fromisoformat(str(recorded[0].details["today"])) if is_unfinished else None
        if list_users(session, _DEMO, limit=1).items or list_customers(session, _DEMO, limit=1).items:
            return None
        for each in DEMO_USERS:
            create_user(
                session, _DEMO, email=each.email, name=each.name, role=each.role, password=each.password
            )
        audit.record(session, _DEMO, "demo.started", "demo", today=timeline.today.isoformat())
        return timeline.today

    return own.run(_DEMO, work)


def _demo_users(session: Session) -> list[UserRow]:
    """Return the demo's users."""
    emails = {user.email for user in DEMO_USERS}
    page = list_users(session, _DEMO)
    return [user for user in page.items if user.email in emails]


def _find_last_step(session: Session, timeline: Timeline) -> datetime:
    """Return the time of the last step that was started.

    Audit entries after the demo's `today` don't belong to the demo.
    """
    newest = list_audit_entries(session, _DEMO, limit=LIMIT_MAX).items
    return next((entry.at for entry in newest if entry.at <= timeline.today), timeline.opening)


def _perform(own: Database, clock: _Clock, timeline: Timeline, started: float) -> DemoLoaded:
    actions = Actions(own, own.run(_DEMO, _demo_users))
    last_step = own.run(_DEMO, lambda session: _find_last_step(session, timeline))
    for step in timeline.list_steps():
        if step.at >= last_step:
            clock.moment = step.at
            step.perform(actions)
    clock.moment = timeline.today
    report = verify(own, actions.admin)
    # So that the dashboard has figures as soon as it is opened.
    refresh_figures(own)
    own.run(_DEMO, lambda session: audit.record(session, _DEMO, "demo.loaded", "demo", ok=report.ok))
    return DemoLoaded(
        customers=report.checked.customers,
        events=report.checked.events,
        invoices=report.checked.invoices,
        verified=report.ok,
        seconds=time.monotonic() - started,
    )
