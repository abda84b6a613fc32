"""The rejected rows of usage files: in pages, and as a file to correct and import again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Row, Select, func, select
from sqlmodel import Session, col

from billing_app.domain.actor import Actor, Permission
from billing_app.models import UsageImportRejectedRow
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require
from billing_app.services.shared.reasons import Reason
from billing_app.services.usage_imports.queries import get_row, parse_import_id
from billing_app.services.usage_imports.rows import COLUMNS, CORRECTION_COLUMNS, METERED_COLUMNS, RejectedRow

CHUNK_ROWS = 2_000


def list_rejected_rows(
    session: Session,
    actor: Actor,
    usage_import: str,
    *,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[RejectedRow]:
    """List the first 100,000 conflicts and rejected rows by line number, or those found so far.

    Raises NotFound (`import_not_found`).
    """
    require(actor, Permission.READ)
    import_id = get_row(session, parse_import_id(usage_import)).import_id
    query = _select_rejected_rows(import_id)
    if after := decode_cursor(cursor, int):
        query = query.where(col(UsageImportRejectedRow.line) > after[0])
    rows = [_to_row(found) for found in session.execute(query.limit(check_limit(limit) + 1))]
    return page_of(rows, limit, lambda row: (row.line,))


def read_rejected_rows(session: Session, actor: Actor, usage_import: str) -> Iterator[list[RejectedRow]]:
    """Read all rows that `list_rejected_rows` lists, in chunks.

    The chunks must be read within the session's transaction. Raises NotFound (`import_not_found`)
    when called.
    """
    require(actor, Permission.READ)
    import_id = get_row(session, parse_import_id(usage_import)).import_id

    # A database cursor, so that all chunks are of the same snapshot.
    found = session.execute(_select_rejected_rows(import_id), execution_options={"yield_per": CHUNK_ROWS})
    return ([_to_row(row) for row in chunk] for chunk in found.partitions())


def list_columns(session: Session, actor: Actor, usage_import: str) -> tuple[str, ...]:
    """Return the columns of a file of these rejected rows, without those about their rejection.

    Raises NotFound (`import_not_found`).
    """
    require(actor, Permission.READ)
    row = get_row(session, parse_import_id(usage_import))
    if row.kind == "corrections":
        return CORRECTION_COLUMNS
    return METERED_COLUMNS if _has_meters(session, row.import_id) else COLUMNS


def _has_meters(session: Session, import_id: int) -> bool:
    cells = func.cardinality(col(UsageImportRejectedRow.cells))
    wide = select(col(UsageImportRejectedRow.line)).where(
        col(UsageImportRejectedRow.import_id) == import_id, cells == len(METERED_COLUMNS)
    )
    return session.execute(wide.limit(1)).first() is not None


def _select_rejected_rows(import_id: int) -> Select[*tuple[Any, ...]]:
    return (
        select(
            col(UsageImportRejectedRow.line), col(UsageImportRejectedRow.cells),
            col(UsageImportRejectedRow.status), col(UsageImportRejectedRow.reason),
        )
        .where(col(UsageImportRejectedRow.import_id) == import_id)
        .order_by(col(UsageImportRejectedRow.line))
    )  # fmt: skip


def _to_row(row: Row[Any]) -> RejectedRow:
    cells = tuple(cell.decode("utf-8", "surrogateescape") for cell in row.cells)
    return RejectedRow(line=row.line, row=cells, status=row.status, reason=Reason.from_json(row.reason))
