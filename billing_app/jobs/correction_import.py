"""Import corrections of usage from a CSV file on this machine, in the order of its rows."""

from __future__ import annotations

from collections.abc import Callable

from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Permission
from billing_app.jobs.file_import import CheckedFile, ImportSummary
from billing_app.jobs.usage_csv import read_corrections
from billing_app.services.shared.permissions import require
from billing_app.services.usage.corrections import correct_usage_batch
from billing_app.services.usage_imports.rows import RejectedRow


def import_corrections(
    database: Database,
    actor: Actor,
    file: CheckedFile,
    *,
    on_rejected: Callable[[RejectedRow], None] = lambda row: None,
    on_progress: Callable[[ImportSummary], None] = lambda summary: None,
) -> ImportSummary:
    """Record the corrections of a file, each once however often the file is imported.

    Each batch is recorded in a transaction of its own, with an audit entry. After an interruption, import the
    file again: rows that are already recorded are duplicates.
    """
    require(actor, Permission.CORRECT_USAGE)
    summary = ImportSummary()
    for batch in read_corrections(file.raw):
        file.require_unchanged()
        outcome = database.call(actor, correct_usage_batch, batch.reports)
        for row in batch.rejected_rows(outcome):
            on_rejected(row)
        summary.add(outcome, file.raw.tell())
        on_progress(summary)
    return summary
