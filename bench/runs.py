"""An invoice run, compared with the minimum that any database client has to do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO

import psutil
import psycopg

from bench.databases import Bench, settle
from bench.measures import seconds
from billing_app.database.provision import APPLICATION_ROLE
from billing_app.domain.periods import label

_PROJECT = Path(__file__).resolve().parent.parent
_TABLES = ("invoice", "invoice_line")


@dataclass(frozen=True, slots=True)
class RunMeasured:
    """One invoice run or simulation: its seconds, its customers, and its peak memory.

    `client_mb` is the peak memory of the process and of those that it starts, and `backends_mb` that of its
    database connections, without shared buffers.
    """

    seconds: float
    customers: int
    client_mb: float
    backends_mb: float


def product_run(bench: Bench, period_start: date, work: str = "invoice") -> RunMeasured:
    """Invoice or simulate the month for all customers in a separate process.

    The child process measures the time, so that it doesn't include starting Python.
    """
    settle(bench)
    command = [sys.executable, "-m", "bench.child", bench.application_url, label(period_start), work]
    with (
        bench.superuser() as watcher,
        subprocess.Popen(command, cwd=_PROJECT, stdout=subprocess.PIPE, text=True) as child,
    ):
        clients = backends = 0.0
        while child.poll() is None:
            clients = max(clients, _with_children_mb(child.pid))
            backends = max(backends, _backends_mb(watcher, bench.name))
            time.sleep(0.1)
        answer = json.loads(_output(child.stdout))
    return RunMeasured(answer["seconds"], answer["customers"], clients, backends)


def _output(stream: IO[str] | None) -> str:
    text = stream.read() if stream else ""
    if not text:
        raise RuntimeError("the process failed; see what it said above")
    return text


def _with_children_mb(pid: int) -> float:
    """Return the memory of a process and its children. What several of them share is counted for each."""
    found = 0.0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in (process, *process.children()):
            found += each.memory_info().rss / 1e6
    return found


def _backends_mb(db: psycopg.Connection, database: str) -> float:
    """Return the private memory of the application's connections, or 0 without /proc."""
    pids = db.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = %s AND usename = %s", [database, APPLICATION_ROLE]
    ).fetchall()
    return sum(memory_mb("RssAnon", str(pid)) for (pid,) in pids)


def memory_mb(kind: str, process: str = "self") -> float:
    """Return a line of /proc/<process>/status in megabytes, or 0 if there is none."""
    try:
        lines = Path("/proc", process, "status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 1000 for line in lines if line.startswith(f"{kind}:"))


class Reference:
    """The minimum work: GROUP BY over the month and COPY of its invoices and lines, in one transaction.

    The rows are those that the product created for the same month, already in COPY's text format, so no
    client can be faster. They are written to copies of the product's tables in a separate schema. With
    `keeping_rules`, the copies have the same checks, keys, indexes, foreign keys and triggers, otherwise only
    columns and primary keys. Month by month, they grow like the product's tables.
    """

    def __init__(self, bench: Bench, schema: str, *, keeping_rules: bool) -> None:
        self._bench, self._schema = bench, schema
        with bench.superuser() as db:
            db.execute(f"CREATE SCHEMA {schema}")
            like = "INCLUDING ALL" if keeping_rules else ""
            for table in (*_TABLES, *(_KEPT if keeping_rules else ())):
                db.execute(f"CREATE TABLE {schema}.{table} (LIKE public.{table} {like})")
            for statement in _rules(db) if keeping_rules else _PRIMARY_KEYS:
                db.execute(_in_schema(statement, schema))

    def seconds(self, period_start: date) -> float:
        """Measure the seconds to read, write and commit the month."""
        with self._bench.superuser() as db:
            rows = {table: _copied_out(db, table, period_start) for table in _TABLES}
        settle(self._bench)
        with self._bench.connect(self._bench.server.superuser) as db:
            return seconds(lambda: self._work(db, period_start, rows))

    def _work(self, db: psycopg.Connection, period_start: date, rows: dict[str, list[bytes]]) -> None:
        query = "SELECT customer_id, sum(quantity) FROM usage_event WHERE billing_period = %s GROUP BY 1"
        db.execute(query, [period_start]).fetchall()
        for table, blocks in rows.items():
            with db.cursor().copy(f"COPY {self._schema}.{table} FROM STDIN") as copy:
                for block in blocks:
                    copy.write(block)
        db.commit()


# The table that triggers write to.
_KEPT = ("open_invoice",)
_PRIMARY_KEYS = (
    "ALTER TABLE invoice ADD PRIMARY KEY (customer_id, period_start)",
    "ALTER TABLE invoice_line ADD PRIMARY KEY (customer_id, period_start, line_number)",
)


def _rules(db: psycopg.Connection) -> list[str]:
    """Add the rules that LIKE does not copy: foreign keys, and triggers with their functions."""
    foreign_keys = db.execute(
        "SELECT format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::regclass, conname,"
        " pg_get_constraintdef(oid)) FROM pg_constraint"
        " WHERE contype = 'f' AND conrelid::regclass::text = ANY(%s)",
        [list(_TABLES)],
    ).fetchall()
    triggers = db.execute(
        "SELECT pg_get_functiondef(tgfoid), pg_get_triggerdef(t.oid) FROM pg_trigger t"
        " WHERE NOT tgisinternal AND tgrelid::regclass::text = ANY(%s)",
        [list(_TABLES)],
    ).fetchall()
    return [statement for row in (*foreign_keys, *triggers) for statement in row]


def _in_schema(statement: str, schema: str) -> str:
    """Return the statement changed to use the tables and functions in the schema."""
    names = "|".join((*_TABLES, *_KEPT))
    statement = re.sub(rf"\b(public\.)?({names})\b(?=[ (])", rf"{schema}.\2", statement)
    return re.sub(r"\bFUNCTION (public\.)?", f"FUNCTION {schema}.", statement)


def _copied_out(db: psycopg.Connection, table: str, period_start: date) -> list[bytes]:
    query = f"COPY (SELECT * FROM {table} WHERE period_start = '{period_start}' ORDER BY 1, 2) TO STDOUT"
    with db.cursor().copy(query) as copy:
        return [bytes(block) for block in copy]
