"""One connection of the event loop, kept open between uses and replaced when it is broken."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from billing_app.database.session import Database, is_retryable

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Prepare = Callable[[Connection], Awaitable[None]]

# Classes of SQLSTATE: data, integrity, a lock that is not available, raised by a trigger.
_CAUSED_BY_DATA = {"22", "23", "55", "P0"}
# How long after its last use a connection is used again without checking it.
_TRUSTED_SECONDS = 1.0


class KeptConnection:
    """A connection in autocommit mode, opened at its first use and given to `prepare` then.

    Only one task uses it at a time, so it belongs to that task's event loop.
    """

    def __init__(self, database: Database, prepare: Prepare | None = None) -> None:
        self._database = database
        self._prepare = prepare
        self._connection: Connection | None = None
        self._used_at = 0.0

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        """Lend the connection for one transaction, which is undone if the block raises.

        Raises psycopg.OperationalError if the database can't be reached.
        """
        connection = await self._ready()
        try:
            yield connection
        except BaseException as error:
            await self._undo(connection, error)
            raise
        self._used_at = time.monotonic()

    async def close(self) -> None:
        """Close the connection. The next use opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _ready(self) -> Connection:
        if self._connection is not None and not await self._works(self._connection):
            await self.close()
        if self._connection is None:
            self._connection = await self._open()
        return self._connection

    async def _open(self) -> Connection:
        connection = await self._database.connect_async()
        if self._prepare is not None:
            try:
                await self._prepare(connection)
            except BaseException:
                await connection.close()
                raise
        return connection

    async def _works(self, connection: Connection) -> bool:
        """Return whether the database still knows the connection; asked only after a pause."""
        if connection.closed:
            return False
        if time.monotonic() - self._used_at < _TRUSTED_SECONDS:
            return True
        try:
            await connection.execute("")
        except psycopg.Error:
            return False
        return True

    async def _undo(self, connection: Connection, error: BaseException) -> None:
        try:
            await connection.rollback()
        except psycopg.Error:
            await self.close()
        else:
            if not _leaves_connection_usable(error):
                await self.close()


def _leaves_connection_usable(error: BaseException) -> bool:
    """Return whether the database refused a transaction because of its data or of another transaction.

    After other errors, such as a prepared statement that no longer fits a changed table, every use of the
    same connection may fail in the same way.
    """
    return isinstance(error, psycopg.Error) and (
        is_retryable(error) or (error.sqlstate or "")[:2] in _CAUSED_BY_DATA
    )
