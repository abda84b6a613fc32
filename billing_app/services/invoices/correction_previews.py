"""Preview what a correction of usage would do to the customer's next invoice."""

from __future__ import annotations

from typing import NamedTuple

from sqlmodel import Session

from billing_app.domain.actor import Actor, Permission
from billing_app.services.invoices.previews import InvoicePreview, preview_invoice
from billing_app.services.shared.permissions import require
from billing_app.services.usage.correction_rows import CorrectionReport
from billing_app.services.usage.corrections import correct_usage


class CorrectionPreview(NamedTuple):
    """The invoice that the correction would be billed on, without it and with it."""

    before: InvoicePreview
    after: InvoicePreview


def preview_correction(session: Session, actor: Actor, report: CorrectionReport) -> CorrectionPreview:
    """Compute the invoice that a correction would be billed on, as of now. Nothing is recorded.

    The correction is recorded in a savepoint that is rolled back, so it is refused exactly as saving it would be.

    Raises:
        BillingError: whatever `correct_usage` would raise.
        Conflict: `invoice_exists`, if the clock was set back.
    """
    require(actor, Permission.CORRECT_USAGE)
    savepoint = session.begin_nested()
    try:
        correction = correct_usage(session, actor, report).correction
        customer, period = correction.customer_public_id, correction.billing_period
        after = preview_invoice(session, actor, customer, period)
    finally:
        savepoint.rollback()
    return CorrectionPreview(preview_invoice(session, actor, customer, period), after)
