"""The progress of checks and imports, updated by the background jobs.

While a file is `checking` or `importing`, its counts cover the lines up to `through_line`. They change in the
transaction that records the events of a chunk, and only if `through_line` is still where the chunk starts. So
each line is counted once, however often the work is interrupted and whichever process resumes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from sqlalchemy import insert, not_, select
from sqlmodel import Session, col

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.models import UsageImport, UsageImportRejectedRow
from billing_app.services.shared.permissions import require
from billing_app.services.shared.reasons import Reason
from billing_app.services.usage_imports import rows as limits
from billing_app.services.usage_imports.queries import (
    is_small,
    parse_import_id,
    preview_to_json,
    select_imports,
    to_row,
)
from billing_app.services.usage_imports.rows import (
    Chunk,
    ImportSuperseded,
    Lane,
    Phase,
    RejectedRow,
    UsageImportRow,
)
from billing_app.services.usage_imports.status_changes import NO_ROWS, end, restart, update_in_status

ROW_KEPT_CHARS_MAX = 2_000
# A checked file that is not started within this time is cancelled.
STARTED_WITHIN = timedelta(days=7)
_DUE_MAX = 100


def find_due(session: Session, actor: Actor, phase: Phase, lane: Lane | None) -> list[UsageImportRow]:
    """Return the imports to check or to import, oldest first, of one lane or of all."""
    require(actor, Permission.RECORD_USAGE)
    query = select_imports().where(col(UsageImport.status) == phase)
    if lane:
        query = query.where(is_small(UsageImport) if lane == "small" else not_(is_small(UsageImport)))
    query = query.order_by(col(UsageImport.uploaded_at), col(UsageImport.import_id)).limit(_DUE_MAX)
    return [to_row(*found) for found in session.execute(query)]


def restart_check(session: Session, actor: Actor, import_id: int) -> None:
    """Discard the results of an interrupted check. Raises ImportSuperseded if the file is not being checked."""
    require(actor, Permission.RECORD_USAGE)
    if not restart(session, import_id, "checking", "checking"):
        raise ImportSuperseded


def count_chunk(session: Session, actor: Actor, import_id: int, phase: Phase, chunk: Chunk) -> None:
    """Count a chunk once, in the transaction that records its events.

    Raises ImportSuperseded, which rolls the transaction back, unless the import is in this phase and the chunk
    starts where its progress ends. So if two processes have the same chunk, only one of them records it.
    """
    require(actor, Permission.RECORD_USAGE)
    count = session.scalar(
        update_in_status(import_id, phase)
        .where(col(UsageImport.through_line) == chunk.after_line)
        .values(**_progress_values(phase, chunk))
        .returning(col(UsageImport.conflicts) + UsageImport.rejected)
    )
    if count is None:
        raise ImportSuperseded
    room = limits.REJECTED_ROWS_KEPT_MAX - (count - len(chunk.rejected_rows))
    _keep_rejected_rows(session, import_id, chunk.rejected_rows[: max(0, room)])


def _progress_values(phase: Phase, chunk: Chunk) -> dict[str, object]:
    """Return what a chunk changes in the columns of its import."""
    outcome = chunk.outcome
    values: dict[str, object] = {
        "row_count": UsageImport.row_count
        + (outcome.recorded + outcome.duplicates + outcome.conflicts + outcome.rejected),
        "recorded": UsageImport.recorded + outcome.recorded,
        "duplicates": UsageImport.duplicates + outcome.duplicates,
        "conflicts": UsageImport.conflicts + outcome.conflicts,
        "rejected": UsageImport.rejected + outcome.rejected,
        "bytes_read": chunk.bytes_read,
        "through_line": chunk.through_line,
    }
    if phase == "importing":
        # An interrupted check starts over, so its chunks don't count as progress.
        values["attempts"] = 0
    if chunk.preview:
        values["preview"] = [preview_to_json(row) for row in chunk.preview]
    return values


def _keep_rejected_rows(session: Session, import_id: int, rejected_rows: Sequence[RejectedRow]) -> None:
    values = [
        {
            "import_id": import_id, "line": row.line, "status": row.status,
            "reason": row.reason.as_json(), "cells": _bytes_of_cells(row.row),
        }
        for row in rejected_rows
    ]  # fmt: skip
    if values:
        session.execute(insert(UsageImportRejectedRow), values)


def _bytes_of_cells(row: Sequence[str]) -> list[bytes]:
    """Return the bytes that the cells were read from, or nothing if the row was too long."""
    if sum(len(cell) for cell in row) > ROW_KEPT_CHARS_MAX:
        return []
    return [cell.encode("utf-8", "surrogateescape") for cell in row]


def end_check(session: Session, actor: Actor, import_id: int) -> None:
    """Mark a file as checked, so that its import can be started."""
    require(actor, Permission.RECORD_USAGE)
    session.execute(
        update_in_status(import_id, "checking").values(status="checked", bytes_read=UsageImport.size_bytes)
    )


def finish_import(
    session: Session,
    actor: Actor,
    import_id: int,
    status: Literal["done", "failed"],
    fault: Reason | None = None,
) -> None:
    """End a check or an import as done or failed. Does nothing if it has ended."""
    require(actor, Permission.RECORD_USAGE)
    if status == "done":
        end(session, import_id, ("importing",), "done", by=actor, bytes_read=UsageImport.size_bytes)
    else:
        stored = fault.as_json() if fault else None
        end(session, import_id, ("checking",), "failed", by=actor, fault=stored, **NO_ROWS)
        end(session, import_id, ("importing",), "failed", by=actor, fault=stored)


def count_failed_attempt(
    session: Session, actor: Actor, usage_import: str, reason: Reason, *, attempts_max: int
) -> bool:
    """Count a failure without progress, and mark the import as failed after `attempts_max` of them.

    Events recorded so far are kept. Returns whether the import is marked as failed.
    """
    require(actor, Permission.RECORD_USAGE)
    import_id = parse_import_id(usage_import)
    attempts = session.scalar(
        update_in_status(import_id, "checking", "importing")
        .values(attempts=UsageImport.attempts + 1)
        .returning(col(UsageImport.attempts))
    )
    if attempts is None or attempts < attempts_max:
        return False
    finish_import(session, actor, import_id, "failed", reason)
    return True


def cancel_abandoned(session: Session, actor: Actor) -> None:
    """Cancel checked files that were uploaded over a week ago, so that none is stored forever."""
    require(actor, Permission.RECORD_USAGE)
    abandoned = session.scalars(
        select(col(UsageImport.import_id)).where(
            col(UsageImport.status) == "checked", col(UsageImport.uploaded_at) < now(session) - STARTED_WITHIN
        )
    )
    for import_id in abandoned.all():
        end(session, import_id or 0, ("checked",), "cancelled", by=actor, **NO_ROWS)
