"""Reading all usage events for a file, in chunks, so that they are never in memory all at once."""

from __future__ import annotations

from collections.abc import Iterator

from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.services.shared.permissions import require
from billing_app.services.usage.filters import ALL_USAGE, UsageFilter
from billing_app.services.usage.rows import UsageEventRow
from billing_app.services.usage.selection import EVENT_COLUMNS, merged, read_events, select_usage
from billing_app.services.usage.unpriced_sql import WITH_GAPS

CHUNK_ROWS = 2_000


def read_usage(
    session: Session, actor: Actor, usage_filter: UsageFilter = ALL_USAGE
) -> Iterator[list[UsageEventRow]]:
    """Read all events that `list_usage` lists, from one snapshot, in chunks.

    The chunks must be read within the session's transaction. They are ordered by billing period,
    customer and time, as an index is. Raises NotFound (`customer_not_found`) before the first chunk.
    """
    require(actor, Permission.READ)
    parts = select_usage(session, usage_filter)
    rows = " UNION ALL ".join(
        f"(SELECT {EVENT_COLUMNS} FROM {read_events(part.condition)})" for part in parts
    )
    query = (
        f"{WITH_GAPS} SELECT * FROM ({rows}) rows"
        " ORDER BY billing_period, customer_id, occurred_at, idempotency_key"
    )

    cursor = driver_cursor(session).connection.cursor("usage_export")
    # The query runs now rather than with the first chunk, so that errors surface before anything is sent.
    cursor.execute(query, merged(parts))

    def chunks() -> Iterator[list[UsageEventRow]]:
        with cursor:
            while rows := cursor.fetchmany(CHUNK_ROWS):
                yield [UsageEventRow(*row) for row in rows]

    return chunks()
