"""What can be chosen in dialogs: months, and plans that can be sold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from billing_app.domain.periods import label, next_period, previous_period
from billing_app.errors import Invalid
from billing_app.services.plans import PlanRow
from billing_app.state import text
from billing_app.state.forms import typed, typed_number
from billing_app.state.lists import Option


def months_around(month: date, back: int, ahead: int) -> list[Option]:
    """So many months before and after a month, the oldest first."""
    found = [month]
    for _ in range(back):
        found.insert(0, previous_period(found[0]))
    for _ in range(ahead):
        found.append(next_period(found[-1]))
    return [Option(label(each), text.month(each)) for each in found]


def plan_options(offered: Sequence[PlanRow]) -> list[Option]:
    """Plans with what a month of each costs; nothing is chosen at first."""
    choices = [Option(str(plan.plan_id), _with_price(plan)) for plan in offered]
    return [Option("", "Choose a plan"), *choices]


def _with_price(plan: PlanRow) -> str:
    price = text.money(plan.monthly_price_minor, plan.currency)
    return f"{text.plan(plan.name, plan.version)}: {price} a month"


def typed_plan(form: object) -> int:
    """The plan that a form says; raises Invalid."""
    if not typed(form, "plan_id"):
        raise Invalid("plan_id", "must be chosen")
    return typed_number(form, "plan_id")
