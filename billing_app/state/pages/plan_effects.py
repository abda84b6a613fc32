"""What a change of plan would do to a customer's upcoming invoices, shown before it is saved."""

from __future__ import annotations

from datetime import date

from billing_app.database.session import now
from billing_app.documents.arithmetic import title
from billing_app.domain.actor import Actor
from billing_app.domain.lines import Line
from billing_app.domain.periods import period_of
from billing_app.errors import BillingError, Conflict
from billing_app.services.customers import customers
from billing_app.services.customers.rows import PlanChange
from billing_app.services.invoices.previews import InvoicePreview, preview_invoice
from billing_app.state.kit import text
from billing_app.state.kit.choices import resolve_plan
from billing_app.state.kit.forms import is_checked, read_day, read_text
from billing_app.state.kit.session import Session
from billing_app.state.presenters.customers import Effect, EffectLine, EffectMonth
from billing_app.wording.refusals import refusal_sentence


def read_effect(session: Session, actor: Actor, key: str, form: dict[str, str]) -> Effect:
    """Return the effect of the change in a form. It is empty while the form is incomplete.

    A form without the field `plan` is a cancellation.
    """
    try:
        start = read_day(form, "effective_from")
        plan_id = _plan_id(session, actor, key, form) if "plan" in form else None
    except BillingError:
        return Effect()
    try:
        return Effect(_months(session, actor, key, PlanChange(plan_id, start)))
    except Conflict as refusal:
        if refusal.code != "usage_unpriced":
            return Effect(problem=refusal_sentence(refusal))
        unpriced = refusal_sentence(refusal)
    except BillingError as refusal:
        return Effect(problem=refusal_sentence(refusal))
    if not is_checked(form, "confirm_unpriced"):
        return Effect(unpriced=unpriced)
    confirmed = PlanChange(plan_id, start, confirm_unpriced=True)
    try:
        return Effect(_months(session, actor, key, confirmed), unpriced=unpriced)
    except BillingError as refusal:
        return Effect(problem=refusal_sentence(refusal), unpriced=unpriced)


def _plan_id(session: Session, actor: Actor, key: str, form: dict[str, str]) -> int:
    customer = customers.get_customer(session, actor, key)
    return resolve_plan(session, actor, read_text(form, "plan"), currency=customer.currency).plan_id


def _months(session: Session, actor: Actor, key: str, change: PlanChange) -> list[EffectMonth]:
    """Compare the current month, and the month of a later change."""
    current = period_of(now(session))
    periods = sorted({current, max(current, change.effective_from.replace(day=1))})
    found = [_month(session, actor, key, period, change) for period in periods]
    return [each for each in found if each]


def _month(session: Session, actor: Actor, key: str, period: date, change: PlanChange) -> EffectMonth | None:
    """Compare one month. None if it is already invoiced, because the clock was set back."""
    after = _preview(session, actor, key, period, change)
    before = _preview(session, actor, key, period, None)
    return effect_month(before, after) if before and after else None


def effect_month(before: InvoicePreview, after: InvoicePreview) -> EffectMonth:
    """Compare an upcoming invoice with what a change would make of it."""
    currency, is_changed = after.currency, after.lines != before.lines
    return EffectMonth(
        period=text.month(after.period_start),
        before=text.money(before.total_minor, currency),
        after=text.money(after.total_minor, currency),
        is_changed=is_changed,
        lines=[_line(line, currency) for line in after.lines] if is_changed else [],
    )


def _preview(
    session: Session, actor: Actor, key: str, period: date, change: PlanChange | None
) -> InvoicePreview | None:
    try:
        return preview_invoice(session, actor, key, period, change)
    except Conflict as refusal:
        if refusal.code == "invoice_exists":
            return None
        raise


def _line(line: Line, currency: str) -> EffectLine:
    plan = f"{text.plan(line.plan_name, line.plan_version)}: " if line.plan_name else ""
    return EffectLine(f"{plan}{title(line)}", text.money(line.amount_minor, currency))
