"""Restoring in tests, and looking at what is there afterwards."""

from __future__ import annotations

from pathlib import Path

import psycopg

from billing_app.database.backup.archive import open_archive
from billing_app.database.backup.contents import count_rows
from billing_app.database.provision import Urls
from billing_app.domain.actor import SYSTEM
from billing_app.jobs.restoring import restore


def connect(url: str) -> psycopg.Connection:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def restore_file(urls: Urls, file: Path) -> None:
    with open_archive(file) as archive:
        restore(urls, archive, SYSTEM)


def rows_of(urls: Urls) -> dict[str, int]:
    """Return the number of rows of each table; nothing for an empty database."""
    with connect(urls.owner) as connection:
        return count_rows(connection)
