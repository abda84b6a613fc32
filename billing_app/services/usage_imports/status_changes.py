"""Changes of an import's status. Unguarded: callers have checked the permission.

Every change is conditional on the current status, so that of two concurrent changes only one takes effect.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Update, delete, update
from sqlmodel import Session, col

from billing_app.database.session import now
from billing_app.domain.actor import Actor
from billing_app.models import UsageImport, UsageImportPart, UsageImportRejectedRow
from billing_app.services.shared import audit
from billing_app.services.shared.ids import public_id
from billing_app.services.usage_imports.rows import Status

# The counts of a file whose import was never started.
NO_ROWS = {"row_count": 0, "recorded": 0, "duplicates": 0, "conflicts": 0, "rejected": 0}


def update_in_status(import_id: int, *statuses: Status) -> Update:
    """Return an UPDATE of the import that only applies if it has one of these statuses."""
    return update(UsageImport).where(
        col(UsageImport.import_id) == import_id, col(UsageImport.status).in_(statuses)
    )


def restart(session: Session, import_id: int, before: Status, after: Status) -> bool:
    """Change an import's status from `before` to `after` and reset its counts. Return whether it did."""
    values: dict[str, object] = {**NO_ROWS, "bytes_read": 0, "through_line": 0}
    if before != after:
        values["attempts"] = 0
    change = update_in_status(import_id, before).values(status=after, **values)
    if session.scalar(change.returning(col(UsageImport.import_id))) is None:
        return False
    session.execute(delete(UsageImportRejectedRow).where(col(UsageImportRejectedRow.import_id) == import_id))
    return True


def end(
    session: Session, import_id: int, before: Sequence[Status], after: Status, *, by: Actor, **values: object
) -> None:
    """End an import that has one of these statuses, delete its file, and write the audit entry."""
    ended = session.execute(
        update_in_status(import_id, *before)
        .values(status=after, finished_at=now(session), **values)
        .returning(
            col(UsageImport.recorded), col(UsageImport.duplicates),
            col(UsageImport.conflicts), col(UsageImport.rejected),
        )
    ).one_or_none()  # fmt: skip
    if ended:
        session.execute(delete(UsageImportPart).where(col(UsageImportPart.import_id) == import_id))
        audit.record(session, by, f"usage_import.{after}", public_id("imp", import_id), **ended._asdict())
