"""Queries about imports. Unguarded: callers have checked the permission."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select, text, true, tuple_
from sqlalchemy.orm import aliased
from sqlalchemy.sql.selectable import LateralFromClause
from sqlmodel import Session, col

from billing_app.domain.money import parse_quantity, plain
from billing_app.domain.periods import parse_timestamp
from billing_app.errors import NotFound
from billing_app.models import UsageImport
from billing_app.services.shared.ids import get_number, public_id
from billing_app.services.shared.reasons import Reason
from billing_app.services.usage_imports.rows import (
    SMALL_FILE_BYTES_MAX,
    ImportReference,
    PreviewRow,
    UsageImportRow,
)

ImportQuery = Select[*tuple[Any, ...]]


def parse_import_id(usage_import: str) -> int:
    """Return 7 for `imp_7`. Raises NotFound (`import_not_found`)."""
    return get_number("imp", usage_import, "import")


def get_row(session: Session, import_id: int) -> UsageImportRow:
    """Return the import with this number. Raises NotFound (`import_not_found`)."""
    found = session.execute(select_imports().where(col(UsageImport.import_id) == import_id)).one_or_none()
    if found is None:
        raise import_not_found(import_id)
    return to_row(*found)


def import_not_found(import_id: int) -> NotFound:
    """Return the error for an import that does not exist, or that the actor must not know about."""
    return NotFound("import_not_found", named=public_id("imp", import_id))


def select_imports() -> ImportQuery:
    """Select imports with what `to_row` needs."""
    same, ahead = _same_content(), _ahead()
    return (
        select(
            UsageImport,
            same.c.import_id, same.c.file_name, same.c.finished_at,
            ahead.c.import_id, ahead.c.file_name,
        )
        .select_from(UsageImport)
        .outerjoin(same, true())
        .outerjoin(ahead, true())
        .execution_options(populate_existing=True)
    )  # fmt: skip


def is_small(usage_import: type[UsageImport]) -> ColumnElement[bool]:
    """Return the condition that a file belongs to the lane of small files."""
    return col(usage_import.size_bytes) <= SMALL_FILE_BYTES_MAX


def _same_content() -> LateralFromClause:
    """Select the latest earlier import of the same content that is done."""
    other = aliased(UsageImport)
    return (
        select(col(other.import_id), col(other.file_name), col(other.finished_at))
        .where(
            col(other.sha256) == UsageImport.sha256,
            col(other.status) == "done",
            tuple_(col(other.finished_at), col(other.import_id))
            < tuple_(
                func.coalesce(col(UsageImport.finished_at), text("timestamptz 'infinity'")),
                UsageImport.import_id,
            ),
        )
        .order_by(col(other.finished_at).desc(), col(other.import_id).desc())
        .limit(1)
        .lateral()
    )


def _ahead() -> LateralFromClause:
    """Select the import that the worker of the same lane processes before this one."""
    other = aliased(UsageImport)
    has_progress = col(other.through_line) > 0
    is_older = tuple_(col(other.uploaded_at), col(other.import_id)) < tuple_(
        col(UsageImport.uploaded_at), UsageImport.import_id
    )
    return (
        select(col(other.import_id), col(other.file_name))
        .where(
            col(UsageImport.status).in_(("checking", "importing")),
            col(UsageImport.through_line) == 0,
            col(other.status) == UsageImport.status,
            col(other.import_id) != UsageImport.import_id,
            is_small(other) == is_small(UsageImport),
            or_(has_progress, is_older),
        )
        .order_by(has_progress.desc(), col(other.uploaded_at), col(other.import_id))
        .limit(1)
        .lateral()
    )


def to_row(
    found: UsageImport,
    same_id: int | None,
    same_name: str | None,
    same_finished_at: datetime | None,
    ahead_id: int | None,
    ahead_name: str | None,
) -> UsageImportRow:
    """Build the row from what `select_imports` selects."""
    assert found.import_id is not None
    return UsageImportRow(
        import_id=found.import_id,
        kind=found.kind,  # type: ignore[arg-type]
        file_name=found.file_name,
        size_bytes=found.size_bytes,
        sha256=found.sha256,
        status=found.status,  # type: ignore[arg-type]
        rows=found.row_count,
        recorded=found.recorded,
        duplicates=found.duplicates,
        conflicts=found.conflicts,
        rejected=found.rejected,
        bytes_read=found.bytes_read,
        through_line=found.through_line,
        preview=tuple(preview_from_json(each) for each in found.preview or ()),
        uploaded_by=found.uploaded_by,
        uploaded_at=found.uploaded_at,
        finished_at=found.finished_at,
        fault=Reason.from_json(found.fault) if found.fault else None,
        same_as=ImportReference(same_id, same_name or "", same_finished_at) if same_id else None,
        waits_for=ImportReference(ahead_id, ahead_name or "", None) if ahead_id else None,
    )


def preview_to_json(row: PreviewRow) -> dict[str, Any]:
    """Return what the column `preview` holds for a row; `preview_from_json` reads it."""
    return {
        "line": row.line,
        "row": row.row,
        "quantity": None if row.quantity is None else plain(row.quantity),
        "occurred_at": row.occurred_at.isoformat() if row.occurred_at else None,
        "status": row.status,
        "reason": row.reason.as_json() if row.reason else None,
    }


def preview_from_json(stored: dict[str, Any]) -> PreviewRow:
    """Read what `preview_to_json` wrote."""
    return PreviewRow(
        line=stored["line"],
        row=tuple(stored["row"]),
        quantity=None if stored["quantity"] is None else parse_quantity(stored["quantity"]),
        occurred_at=parse_timestamp(stored["occurred_at"]) if stored["occurred_at"] else None,
        status=stored["status"],
        reason=Reason.from_json(stored["reason"]) if stored["reason"] else None,
    )
