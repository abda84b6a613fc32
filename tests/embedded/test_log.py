"""What the embedded server writes to its log about a statement that failed."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from billing_app.database.embedded.cluster import use_server
from tests.embedded.processes import connect


def test_values_of_rows_are_not_logged(data_dir: Path) -> None:
    with use_server(data_dir) as server, connect(server) as connection:
        connection.execute("CREATE TABLE person (email text PRIMARY KEY)")
        connection.execute("INSERT INTO person VALUES ('boss@zanzibar.example')")
        with pytest.raises(psycopg.errors.UniqueViolation, match="zanzibar"):
            connection.execute("INSERT INTO person VALUES ('boss@zanzibar.example')")
    log = (data_dir / "server.log").read_text()
    assert "person_pkey" in log
    assert "zanzibar" not in log
