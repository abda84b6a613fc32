"""What a correction would do to the next invoice, before it is saved."""

from __future__ import annotations

import psycopg
import pytest

from billing_app.domain.actor import Actor, Scope
from billing_app.errors import Forbidden
from billing_app.jobs.verification import verify
from billing_app.services.invoices.correction_previews import CorrectionPreview, preview_correction
from billing_app.services.usage.correction_rows import CorrectionReport
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.refusals import refused

_TRACES = (
    "SELECT (SELECT count(*) FROM usage_correction),"
    " (SELECT count(*) FROM audit_entry WHERE action LIKE 'usage.correct%')"
)


@pytest.fixture
def used(shop: Shop) -> Shop:
    shop.customer("acme", "2026-10")
    shop.use("acme", "a", "1530", "2026-10-15T10:00:00Z")
    return shop


def preview(
    shop: Shop, quantity: object, *, event: str = "a", actor: Actor | None = None
) -> CorrectionPreview:
    report = CorrectionReport("acme", event, quantity, "recount", "preview")
    return shop.database.run(
        actor or shop.actor, lambda session: preview_correction(session, actor or shop.actor, report)
    )


def test_preview_is_what_the_invoice_becomes(used: Shop, owner: psycopg.Connection, clock: Clock) -> None:
    open_month = preview(used, "1030")
    assert (open_month.before.total_minor, open_month.after.total_minor) == (3563, 2938)
    used.invoice("acme", "2026-10")
    before, after = preview(used, "1030")
    assert (before.period_start.month, after.period_start.month) == (11, 11)
    assert (before.total_minor, after.total_minor) == (2900, 2275)
    assert owner.execute(_TRACES).fetchone() == (0, 0)
    used.correct("acme", "a", "1030", "fix")
    clock.set(2026, 12)
    november = used.invoice("acme", "2026-11")
    assert (november.total_minor, november.lines) == (2275, after.lines)
    assert verify(used.database, used.actor).discrepancies == []


def test_preview_is_refused_as_saving_would_be(used: Shop, finance: Actor) -> None:
    with refused("nothing_to_correct"):
        preview(used, 1530)
    with refused("event_not_found"):
        preview(used, 1, event="b")
    with refused("invalid", field="quantity"):
        preview(used, "-1")
    corrector = Actor("token", "tok_1", "a token", scopes=frozenset({Scope.USAGE_CORRECT}))
    for actor in (finance, corrector):
        with pytest.raises(Forbidden):
            preview(used, 5, actor=actor)
    assert preview(used, 5).after.total_minor == 2900
