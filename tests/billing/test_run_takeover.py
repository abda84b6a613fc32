"""A process that was frozen during an invoice run finds that another one has done its work."""

from __future__ import annotations

import pytest

from billing_app.domain.actor import SYSTEM
from billing_app.domain.periods import parse_period
from billing_app.jobs.invoice_runs import execute_run
from billing_app.services.invoices.run_progress import RunSuperseded, add_progress, next_batches
from billing_app.services.invoices.runs import get_run, start_run
from tests.billing.shop import Shop


def test_batch_that_another_process_has_done_is_not_counted_again(shop: Shop) -> None:
    for number in range(6):
        shop.customer(f"customer{number}", "2026-10")
    database = shop.database
    run = database.call(SYSTEM, start_run, parse_period("2026-10"))
    with database.transaction(SYSTEM) as session:
        batches = next_batches(session, SYSTEM, run.public_id, 4)

    done = execute_run(database, SYSTEM, run)

    assert (done.status, done.created, done.processed) == ("done", 6, 6)
    for batch in batches:
        with pytest.raises(RunSuperseded), database.transaction(SYSTEM) as session:
            add_progress(session, SYSTEM, run.public_id, batch, created=0, existing=2, skipped=0, failures=())
    with database.transaction(SYSTEM) as session:
        assert get_run(session, SYSTEM, run.public_id).processed == 6
