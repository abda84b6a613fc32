"""The steps of the guide as the dashboard shows them."""

from __future__ import annotations

import json
import shlex

import pytest

from billing_app.services.dashboard.getting_started import GettingStarted
from billing_app.state.presenters.getting_started import list_steps, usage_command

NOTHING = GettingStarted(
    has_company_details=False,
    has_plan=False,
    has_customer=False,
    has_usage=False,
    has_invoice=False,
    is_dismissed=False,
    example_customer="",
)


def next_step(progress: GettingStarted, *, is_admin: bool = True) -> str:
    """Return the name of the one step that shows its actions."""
    names = [step.name for step in list_steps(progress, is_admin=is_admin) if step.is_next]
    assert len(names) <= 1
    return "".join(names)


@pytest.mark.parametrize(
    ("done", "step"),
    [
        ((), "company"),
        (("has_company_details",), "plan"),
        (("has_plan",), "company"),
        (("has_company_details", "has_plan", "has_customer"), "usage"),
        (("has_company_details", "has_plan", "has_customer", "has_usage"), "invoice"),
        (("has_company_details", "has_plan", "has_customer", "has_usage", "has_invoice"), ""),
    ],
)
def test_first_step_that_is_not_done_is_next(done: tuple[str, ...], step: str) -> None:
    progress = NOTHING._replace(**dict.fromkeys(done, True))
    assert next_step(progress) == step
    assert sum(each.is_done for each in list_steps(progress, is_admin=True)) == len(done)


def test_billing_user_is_not_held_up_by_the_company_details() -> None:
    assert next_step(NOTHING, is_admin=False) == "plan"


def test_command_names_a_customer_and_is_valid_shell() -> None:
    for key, expected in (("globex", "globex"), ("", "acme")):
        words = shlex.split(usage_command("https://bill.example", key).replace("\\\n", " "))
        assert words[:2] == ["curl", "https://bill.example/api/v1/usage"]
        assert json.loads(words[-1]) == {"customer": expected, "idempotency_key": "first", "quantity": 1}
