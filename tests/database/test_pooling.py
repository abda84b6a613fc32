"""A pooler that shares sessions is refused with one sentence, and PostgreSQL itself is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import make_url

from billing_app.cli.access import open_database
from billing_app.database.embedded import cluster
from billing_app.database.errors import DatabaseUnusable
from billing_app.database.pooling import refuse_shared_sessions
from billing_app.database.provision import Urls
from billing_app.database.session import Database
from billing_app.settings import Settings
from tests.database.pooler import pooled


def test_pooler_in_transaction_mode_is_refused_at_the_start(
    server: cluster.Server, urls: Urls, tmp_path: Path
) -> None:
    with pooled(f"{server.socket_dir}/.s.PGSQL.{server.port}", tmp_path) as host:
        url = make_url(urls.application).update_query_dict({"host": host}).set(port=None)
        url = url.difference_update_query(["port"])
        settings = Settings(DATABASE_URL=url.render_as_string(hide_password=False))  # type: ignore[call-arg]
        with pytest.raises(DatabaseUnusable, match="such as PgBouncer in transaction mode"):
            open_database(settings).__enter__()


def test_connection_without_its_settings_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing_app.database.session._SESSION_OPTIONS", "-c application_name=tallybook")
    other = Database(database.url)
    with pytest.raises(DatabaseUnusable, match="drops their settings"):
        refuse_shared_sessions(other.engine)
    other.close()


def test_postgresql_itself_is_accepted(database: Database) -> None:
    refuse_shared_sessions(database.engine)
