"""Upload usage files and read their imports, for the tests of imports."""

from __future__ import annotations

import psycopg

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.jobs.usage_imports import check_files, import_files, receive_file
from billing_app.services.usage_imports.imports import get_import, start_import
from billing_app.services.usage_imports.rejected_rows import list_rejected_rows
from billing_app.services.usage_imports.rows import UsageImportRow

HEADER = "customer,idempotency_key,quantity,occurred_at\n"
TIME = "2026-11-10T00:00:00Z"


def good_rows(count: int, start: int = 0) -> str:
    return "".join(f"acme,k{number},1,{TIME}\n" for number in range(start, start + count))


def counts(row: UsageImportRow) -> tuple[str, int, int, int, int, int]:
    return (row.status, row.rows, row.recorded, row.duplicates, row.conflicts, row.rejected)


def event_count(owner: psycopg.Connection) -> int:
    found = owner.execute("SELECT count(*) FROM usage_event").fetchone()
    assert found
    return int(found[0])


def part_count(owner: psycopg.Connection) -> int:
    found = owner.execute("SELECT count(*) FROM usage_import_part").fetchone()
    assert found
    return int(found[0])


class Files:
    """Uploads files and reads their imports, as one actor."""

    def __init__(self, database: Database, actor: Actor) -> None:
        self.database, self.actor = database, actor

    def upload(self, content: str | bytes) -> UsageImportRow:
        data = content.encode() if isinstance(content, str) else content
        return receive_file(self.database, self.actor, "usage.csv", [data])

    def check(self, content: str | bytes) -> UsageImportRow:
        uploaded = self.upload(content)
        check_files(self.database)
        return self.reload(uploaded)

    def check_and_start(self, content: str | bytes) -> UsageImportRow:
        return self.database.call(self.actor, start_import, self.check(content).public_id)

    def import_whole(self, content: str | bytes) -> UsageImportRow:
        started = self.check_and_start(content)
        import_files(self.database)
        return self.reload(started)

    def reload(self, row: UsageImportRow) -> UsageImportRow:
        return self.database.call(self.actor, get_import, row.public_id)

    def rejected_lines(self, row: UsageImportRow) -> list[int]:
        found = self.database.call(self.actor, list_rejected_rows, row.public_id)
        return [each.line for each in found.items]
