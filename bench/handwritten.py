"""What an engineer would write in an hour to record usage: the reference for single events over HTTP.

FastAPI with a pydantic model, psycopg's asynchronous pool, and one statement and commit for each
request. It has no tokens, no plans, no closed periods and no audit, and its table only a primary key.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal

from fastapi import FastAPI, HTTPException, Response
from psycopg_pool import AsyncConnectionPool
from pydantic import AwareDatetime, BaseModel, Field

POOL = 16
SCHEMA = """
    CREATE TABLE handwritten_event (
        customer_id bigint, idempotency_key text, occurred_at timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL, quantity numeric NOT NULL,
        PRIMARY KEY (customer_id, idempotency_key)
    )
"""
_RECORD = """
    INSERT INTO handwritten_event
    SELECT customer_id, %(idempotency_key)s, %(occurred_at)s, %(now)s, %(quantity)s
    FROM customer WHERE lower(key) = lower(%(customer)s)
    ON CONFLICT DO NOTHING
"""


class Event(BaseModel):
    """A usage event."""

    customer: str
    idempotency_key: str = Field(min_length=1, max_length=255)
    quantity: Decimal = Field(ge=0, max_digits=20, decimal_places=6)
    occurred_at: AwareDatetime


def create() -> FastAPI:
    """Build the application over the database at HANDWRITTEN_URL."""
    pool = AsyncConnectionPool(os.environ["HANDWRITTEN_URL"], min_size=POOL, max_size=POOL, open=False)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await pool.open(wait=True)
        yield
        await pool.close()

    app = FastAPI(lifespan=lifespan)

    @app.post("/api/v1/usage", status_code=201)
    async def record(event: Event, response: Response) -> Event:
        async with pool.connection() as connection:
            cursor = await connection.execute(_RECORD, {**event.model_dump(), "now": datetime.now(UTC)})
        if cursor.rowcount == 0:
            raise HTTPException(409)
        return event

    @app.get("/api/health")
    def health() -> str:
        return "ok"

    return app
