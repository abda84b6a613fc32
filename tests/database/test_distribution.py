"""Distributing usage, on a server without Citus. The tests in tests/distributed need a cluster."""

from __future__ import annotations

import psycopg

from billing_app.database.provision import Urls
from tests.cli.command import run_billing

# Everything that `billing distribute` changes.
SCHEMA = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger
    ORDER BY 1, 2, 3
"""


def test_database_without_the_extension_is_refused_and_not_changed(
    urls: Urls, owner: psycopg.Connection
) -> None:
    before = owner.execute(SCHEMA).fetchall()
    done = run_billing(urls, "distribute")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip() == (
        "billing: The database doesn't have the extension citus, so it can't be distributed. Nothing was changed."
    )
    assert owner.execute(SCHEMA).fetchall() == before
