"""Files of usage as the tests of them send them in and look at them."""

from __future__ import annotations

import psycopg

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.jobs.usage_imports import go_on_checking, go_on_importing, receive_file
from billing_app.services.usage_imports.imports import UsageImportRow, get_import, start_import
from billing_app.services.usage_imports.rejected_rows import list_refusals

HEADER = "customer,idempotency_key,quantity,occurred_at\n"
MOMENT = "2026-11-10T00:00:00Z"


def good_rows(count: int, start: int = 0) -> str:
    return "".join(f"acme,k{number},1,{MOMENT}\n" for number in range(start, start + count))


def counts(row: UsageImportRow) -> tuple[str, int, int, int, int, int]:
    return (row.status, row.rows, row.recorded, row.duplicates, row.conflicts, row.rejected)


def events(owner: psycopg.Connection) -> int:
    found = owner.execute("SELECT count(*) FROM usage_event").fetchone()
    assert found
    return int(found[0])


def parts(owner: psycopg.Connection) -> int:
    found = owner.execute("SELECT count(*) FROM usage_import_part").fetchone()
    assert found
    return int(found[0])


class Files:
    """Sends files in and looks at them, as one actor."""

    def __init__(self, database: Database, actor: Actor) -> None:
        self.database, self.actor = database, actor

    def send(self, content: str | bytes) -> UsageImportRow:
        data = content.encode() if isinstance(content, str) else content
        return receive_file(self.database, self.actor, "usage.csv", [data])

    def checked(self, content: str | bytes) -> UsageImportRow:
        sent = self.send(content)
        go_on_checking(self.database)
        return self.now(sent)

    def started(self, content: str | bytes) -> UsageImportRow:
        return self.database.call(self.actor, start_import, self.checked(content).public_id)

    def imported(self, content: str | bytes) -> UsageImportRow:
        started = self.started(content)
        go_on_importing(self.database)
        return self.now(started)

    def now(self, row: UsageImportRow) -> UsageImportRow:
        return self.database.call(self.actor, get_import, row.public_id)

    def lines_refused(self, row: UsageImportRow) -> list[int]:
        found = self.database.call(self.actor, list_refusals, row.public_id)
        return [each.line for each in found.items]
