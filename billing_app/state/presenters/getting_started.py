"""The guide for a new installation, step by step."""

from __future__ import annotations

from dataclasses import dataclass

from billing_app.services.dashboard.getting_started import GettingStarted


@dataclass(frozen=True)
class StepItem:
    """A step of the guide. Only the first step that is not done, `is_next`, shows its actions."""

    name: str = ""
    title: str = ""
    text: str = ""
    is_done: bool = False
    is_next: bool = False


_STEPS = (
    (
        "company",
        "Add your company details",
        "Every invoice shows your name and address. An admin adds them in Settings.",
    ),
    ("plan", "Create a plan", "A plan has a monthly price, included units and an overage price."),
    ("customer", "Add a customer", "Each customer is on a plan and gets an invoice for every month."),
    ("usage", "Record usage", "Send usage from your system, enter it by hand or import a CSV file."),
    (
        "invoice",
        "Generate an invoice",
        "Once a month has ended, invoice one customer or all of them.",
    ),
)


def list_steps(progress: GettingStarted, *, is_admin: bool) -> list[StepItem]:
    """Return the steps in their order, each ticked when it is done.

    Only admins can change company details, so for other users that step is never the next one.
    """
    done = {
        "company": progress.has_company_details,
        "plan": progress.has_plan,
        "customer": progress.has_customer,
        "usage": progress.has_usage,
        "invoice": progress.has_invoice,
    }
    possible = (name for name, *_ in _STEPS if not done[name] and (is_admin or name != "company"))
    following = next(possible, "")
    return [StepItem(name, title, text, done[name], name == following) for name, title, text in _STEPS]


def usage_command(url: str, customer: str) -> str:
    """Return the command line that records a first usage event."""
    return (
        f"curl {url}/api/v1/usage \\\n"
        '  -H "Authorization: Bearer YOUR_TOKEN" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f'''  -d '{{"customer": "{customer or "acme"}", "idempotency_key": "first", "quantity": 1}}\''''
    )
