"""Uploads that arrive in pieces, stall, break off or never end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.models.imports import PART_BYTES_MAX
from billing_app.server.middleware import limits
from tests.api.test_limits import CHUNKED, Exchange, endless, pieces
from tests.api.usage_files import IMPORTS, count_stored
from tests.billing.shop import Shop
from tests.loops import in_own_loop


@pytest.fixture
def shop(database: Database, admin: Actor) -> Shop:
    shop = Shop(database, admin)
    shop.customer("acme", "2026-10")
    return shop


class TestStreaming:
    """The body arrives in pieces, which are passed to the application directly through ASGI."""

    @pytest.fixture
    def head(self, client: TestClient) -> tuple[tuple[str, str], ...]:
        return (
            ("content-type", "text/csv"),
            ("authorization", client.headers["authorization"]),
            CHUNKED,
        )

    async def post(self, api: FastAPI, receive: Any, head: tuple[tuple[str, str], ...]) -> Exchange:
        async def imports_endpoint(scope: Any, receive: Any, send: Any) -> None:
            await api({**scope, "path": IMPORTS, "raw_path": IMPORTS.encode()}, receive, send)

        return await Exchange().ask(imports_endpoint, receive, *head)

    @in_own_loop
    async def test_file_may_be_larger_than_other_bodies(
        self, api: FastAPI, head: Any, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "BODY_BYTES_MAX", 1000)
        monkeypatch.setattr(limits, "BODIES_BYTES_MAX", 1000)
        answer = await self.post(api, pieces(*[bytes(300_000)] * 10), head)
        assert (answer.status, count_stored(database)) == (202, (1, 3_000_000))

    @in_own_loop
    async def test_no_more_is_read_than_is_stored(
        self, api: FastAPI, head: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from billing_app.services.usage_imports import files as usage_import_files

        split, ahead, received = usage_import_files._split_into_parts, [], 0

        def watched(given: Iterator[bytes]) -> Iterator[bytes]:
            kept = 0
            for part in split(given):
                kept += len(part)
                yield part
                ahead.append(received - kept)

        async def counted() -> Any:
            nonlocal received
            received += 300_000
            return {"type": "http.request", "body": bytes(300_000), "more_body": received < 9_000_000}

        monkeypatch.setattr(usage_import_files, "_split_into_parts", watched)
        assert (await self.post(api, counted, head)).status == 202
        assert len(ahead) == 9
        assert max(ahead) < PART_BYTES_MAX

    @in_own_loop
    async def test_upload_that_stalls_leaves_nothing(
        self, api: FastAPI, head: Any, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "PIECE_SECONDS_MAX", 0.05)
        answer = await self.post(api, pieces(bytes(2_000_000), ends=False), head)
        assert (answer.status, answer.code, count_stored(database)) == (408, "request_timeout", (0, 0))

    @in_own_loop
    async def test_client_that_disconnects_leaves_nothing(
        self, api: FastAPI, head: Any, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        messages = [
            {"type": "http.request", "body": bytes(2_000_000), "more_body": True},
            {"type": "http.disconnect"},
        ]

        async def gone() -> dict[str, Any]:
            return messages.pop(0)

        answer = await self.post(api, gone, head)
        assert (answer.status, count_stored(database), caplog.records) == (400, (0, 0), [])
        assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]

    @in_own_loop
    async def test_file_without_end_is_refused(
        self, api: FastAPI, head: Any, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "FILE_BYTES_MAX", 3_000_000)
        answer = await self.post(api, endless(bytes(1_000_000)), head)
        assert (answer.status, answer.code, answer.read, count_stored(database)) == (
            413,
            "too_large",
            4_000_000,
            (0, 0),
        )

    @in_own_loop
    async def test_unauthenticated_upload_is_refused_before_a_byte_is_read(
        self, api: FastAPI, database: Database
    ) -> None:
        answer = await self.post(api, endless(b"x"), (("content-type", "text/csv"), CHUNKED))
        assert (answer.status, answer.read, count_stored(database)) == (401, 0, (0, 0))
