"""Options for days and plans, and resolving the plan that a user typed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta

from billing_app.domain.actor import Actor
from billing_app.domain.periods import next_period
from billing_app.errors import Invalid
from billing_app.services.plans import plans
from billing_app.services.plans.rows import PlanRow
from billing_app.state.kit import text
from billing_app.state.kit.forms import OTHER_DAY
from billing_app.state.kit.lists import TEXT_MAX, Option
from billing_app.state.kit.session import Session

# The maximum number of suggestions. Typing more of the name narrows them down.
SUGGESTIONS_MAX = 50
_PLAN_AND_VERSION = re.compile(r"(.+), version ([0-9]{1,9})")
_PLAN_ID = re.compile(r"plan_[0-9]+")


def plan_change_days(today: date) -> list[Option]:
    """Return the days from which a plan can change: of next month, which is the default, today, or any."""
    following = next_period(today.replace(day=1))
    return [
        Option(following.isoformat(), f"Next month ({text.day(following)})"),
        Option(today.isoformat(), f"Today ({text.day(today)})"),
        Option(OTHER_DAY, "A date"),
    ]


def cancellation_days(today: date) -> list[Option]:
    """Return the first days without a plan to select from: of next month, which is the default, or others."""
    following, tomorrow = next_period(today.replace(day=1)), today + timedelta(days=1)
    options = [
        Option(following.isoformat(), f"The end of the month (from {text.day(following)})"),
        Option(tomorrow.isoformat(), f"Tomorrow ({text.day(tomorrow)})"),
        Option(OTHER_DAY, "A date"),
    ]
    return options if tomorrow < following else [options[0], options[2]]


def start_days(today: date) -> list[Option]:
    """Return the days on which a new customer can start: the first of this month, or any."""
    first = today.replace(day=1)
    return [Option(first.isoformat(), f"This month ({text.day(first)})"), Option(OTHER_DAY, "On a date")]


def suggest_plans(
    session: Session, actor: Actor, typed: object = "", *, currency: str | None = None
) -> list[Option]:
    """Return the first plans with the typed text in their name that customers can be assigned to."""
    search = _without_version(typed.strip()[:TEXT_MAX]) if isinstance(typed, str) else ""
    found = plans.find_plans(
        session, actor, search=search, archived=False, currency=currency, limit=SUGGESTIONS_MAX
    )
    return [_option(plan) for plan in found]


def suggest_any_plans(session: Session, actor: Actor, typed: str) -> list[Option]:
    """Return the first plans with the typed text in their name, archived ones included."""
    found = plans.find_plans(session, actor, search=_without_version(typed), limit=SUGGESTIONS_MAX)
    return [_option(plan) for plan in found]


def _option(plan: PlanRow) -> Option:
    named = text.plan(plan.name, plan.version)
    return Option(named, f"{named}: {text.money(plan.monthly_price_minor, plan.currency)} a month")


def select_if_only(options: Sequence[Option]) -> str:
    """Return the initial value of a field: the only option, or empty if there are several."""
    return options[0].value if len(options) == 1 else ""


def resolve_plan(session: Session, actor: Actor, typed: str, *, currency: str | None = None) -> PlanRow:
    """Return the plan version that a user typed.

    `Team, version 2` is that version. `Team` is the newest version that is not archived, if possible in the
    given currency. The service decides whether a customer can be assigned to it.

    Raises Invalid (`plan`).
    """
    typed = typed.strip()
    if not typed:
        raise Invalid("plan", "no_plan_chosen")
    versions = _find_named(session, actor, typed)
    if not versions:
        raise Invalid("plan", "no_such_plan")
    return min(versions, key=lambda plan: (plan.is_archived, currency not in (None, plan.currency)))


def resolve_plan_filter(session: Session, actor: Actor, typed: str) -> tuple[str, list[Option]]:
    """Return the plan in a filter as a value for services: an id, or a name for all versions.

    It is empty if no plan or several plans match. The second value then has the plans to select from.
    """
    versions = _find_named(session, actor, typed)
    if versions:
        is_whole_name = versions[0].name.lower() == typed.lower()
        return (versions[0].name if is_whole_name else versions[0].public_id), []
    if _PLAN_ID.fullmatch(typed):
        return typed, []
    similar = plans.find_plans(session, actor, search=typed, limit=SUGGESTIONS_MAX)
    if len({plan.name.lower() for plan in similar}) == 1:
        return similar[0].name, []
    return "", [_option(plan) for plan in similar]


def _find_named(session: Session, actor: Actor, typed: str) -> tuple[PlanRow, ...]:
    """Return the plan version `Team, version 2`, or all versions of `Team`, newest first."""
    if versions := plans.find_plans(session, actor, name=typed, limit=SUGGESTIONS_MAX):
        return versions
    parts = _PLAN_AND_VERSION.fullmatch(typed)
    return plans.find_plans(session, actor, name=parts[1], version=int(parts[2])) if parts else ()


def _without_version(typed: str) -> str:
    """Return the name in `Team, version 2`."""
    parts = _PLAN_AND_VERSION.fullmatch(typed)
    return parts[1] if parts else typed
