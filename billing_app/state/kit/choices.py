"""What can be chosen in dialogs: months, and plans that can be sold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from billing_app.domain.periods import label, next_period, previous_period
from billing_app.errors import Invalid
from billing_app.services.plans import plans
from billing_app.services.plans.rows import PlanRow
from billing_app.state.kit import text
from billing_app.state.kit.lists import TEXT_MAX, Option

# Of as many as there may be, the first are offered; typing leads to the others.
PLANS = 50
_VERSION = re.compile(r"(.+), version ([0-9]{1,9})")
_ID = re.compile(r"plan_[0-9]+")


def months_around(month: date, back: int, ahead: int) -> list[Option]:
    """So many months before and after a month, the oldest first."""
    found = [month]
    for _ in range(back):
        found.insert(0, previous_period(found[0]))
    for _ in range(ahead):
        found.append(next_period(found[-1]))
    return [Option(label(each), text.month(each)) for each in found]


def plan_options(
    session: Any, actor: Any, begun: object = "", *, currency: str | None = None
) -> list[Option]:
    """The first plans that can be sold and that somebody who types may mean, with their prices."""
    wanted = _name_of(begun.strip()[:TEXT_MAX]) if isinstance(begun, str) else ""
    found = plans.find_plans(session, actor, search=wanted, archived=False, currency=currency, limit=PLANS)
    return [Option(text.plan(plan.name, plan.version), _with_price(plan)) for plan in found]


def _with_price(plan: PlanRow) -> str:
    price = text.money(plan.monthly_price_minor, plan.currency)
    return f"{text.plan(plan.name, plan.version)}: {price} a month"


def only_one(options: Sequence[Option]) -> str:
    """What a field starts with: the option, when there is no other."""
    return options[0].value if len(options) == 1 else ""


def plan_meant(session: Any, actor: Any, named: str, *, currency: str | None = None) -> PlanRow:
    """The plan of `Team, version 2`; of `Team` the newest version that is sold, in this currency if any.

    Whether it can be sold, the service judges. Raises Invalid (`plan`).
    """
    named = named.strip()
    if not named:
        raise Invalid("plan", "no_plan_chosen")
    found = plans_named(session, actor, named)
    if not found:
        raise Invalid("plan", "no_such_plan")
    return min(found, key=lambda plan: (plan.archived_at is not None, currency not in (None, plan.currency)))


def plans_named(session: Any, actor: Any, named: str) -> tuple[PlanRow, ...]:
    """The one plan of `Team, version 2`, or the versions of `Team`, the newest first."""
    if found := plans.find_plans(session, actor, name=named, limit=PLANS):
        return found
    version = _VERSION.fullmatch(named)
    return plans.find_plans(session, actor, name=version[1], version=int(version[2])) if version else ()


def _name_of(begun: str) -> str:
    """`Team, version 2` leads to all versions of Team."""
    version = _VERSION.fullmatch(begun)
    return version[1] if version else begun


def plan_filter(session: Any, actor: Any, wanted: str) -> tuple[str, list[Option]]:
    """Which plan a filter means, as services take it: an id, or the name of all versions.

    None, and what may be meant, when that is no plan or several.
    """
    found = plans_named(session, actor, wanted)
    if found:
        return (found[0].public_id if found[0].name.lower() != wanted.lower() else found[0].name), []
    if _ID.fullmatch(wanted):
        return wanted, []
    near = plans.find_plans(session, actor, search=wanted, limit=PLANS)
    if len({plan.name.lower() for plan in near}) == 1:
        return near[0].name, []
    return "", [Option(text.plan(plan.name, plan.version), _with_price(plan)) for plan in near]


def plan_names(session: Any, actor: Any, begun: str) -> list[Option]:
    """The first plans, archived ones too, whose customers can be looked for."""
    found = plans.find_plans(session, actor, search=_name_of(begun), limit=PLANS)
    return [Option(text.plan(plan.name, plan.version), _with_price(plan)) for plan in found]
