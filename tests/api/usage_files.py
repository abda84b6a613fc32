"""Upload usage files over HTTP and read their imports, for the tests of the API."""

from __future__ import annotations

from typing import Any

from fastapi.testclient import TestClient

from billing_app.database.session import Database

IMPORTS = "/api/v1/usage/imports"
HEADER = "customer,idempotency_key,quantity,occurred_at\n"
TIME = "2026-11-10T00:00:00Z"
CSV = {"Content-Type": "text/csv"}
GZIP = {"Content-Type": "application/gzip"}


def upload(client: TestClient, content: str | bytes, name: str = "november.csv") -> dict[str, Any]:
    data = content.encode() if isinstance(content, str) else content
    answer = client.post(IMPORTS, params={"file_name": name}, content=data, headers=CSV)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


def get(client: TestClient, usage_import: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{IMPORTS}/{usage_import['id']}").json()
    return found


def counts(answer: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(
        answer[name] for name in ("status", "rows", "recorded", "duplicates", "conflicts", "rejected")
    )


def count_stored(database: Database) -> tuple[int, int]:
    """Return the number of imports and the number of bytes of files."""
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT (SELECT count(*) FROM usage_import),"
            " (SELECT coalesce(sum(octet_length(content)), 0) FROM usage_import_part)"
        ).one()
    return found[0], found[1]
