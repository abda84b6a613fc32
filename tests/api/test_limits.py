"""Bodies that are too large, too slow or endless, and clients that don't read their response."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from billing_app.api.wire import problems
from billing_app.server.middleware import limits
from billing_app.server.middleware.limits import BodyLimits, ClientLimits
from tests.loops import in_own_loop

Receive = Callable[[], Awaitable[dict[str, Any]]]
# Makes a test that hangs fail.
GIVE_UP_SECONDS = 10
JSON = ("content-type", "application/json")
CHUNKED = ("transfer-encoding", "chunked")


class Exchange:
    """A request to an ASGI application: its response, and how much of the body was read before it."""

    def __init__(self) -> None:
        self.read = 0
        self.read_before_answer = 0
        self.headers: dict[str, str] = {}
        self.status = 0
        self.body = b""
        self.ended = False

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["code"])

    async def ask(
        self, app: Any, receive: Receive, *headers: tuple[str, str], method: str = "POST"
    ) -> Exchange:
        async def counted() -> dict[str, Any]:
            message = await receive()
            self.read += len(message.get("body", b""))
            return message

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self.read_before_answer = self.read
                self.status = message["status"]
                self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                self.body += message.get("body", b"")
                self.ended = not message.get("more_body")

        raw = [(name.encode(), value.encode()) for name, value in (("host", "here"), *headers)]
        scope = {"type": "http", "method": method, "path": "/", "raw_path": b"/", "query_string": b""}
        scope |= {"headers": raw, "http_version": "1.1", "scheme": "http", "client": None, "server": None}
        async with asyncio.timeout(GIVE_UP_SECONDS):
            await app(scope, counted, send)
        return self


def pieces(*given: bytes, ends: bool = True) -> Receive:
    """Return a client that sends these pieces. Unless `ends` is set, it then stays connected."""
    waiting = list(given)

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.Event().wait()
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting) or not ends}

    return receive


def endless(piece: bytes) -> Receive:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": piece, "more_body": True}

    return receive


@pytest.fixture
def api() -> FastAPI:
    """Return an API that reads a body like the real one and returns its length."""
    made = FastAPI()
    made.add_middleware(BodyLimits)
    problems.add_to(made)

    @made.post("/")
    async def read(body: list[int], request: Request) -> int:
        return len(body)

    return made


@in_own_loop
async def test_body_in_pieces_is_read(api: FastAPI) -> None:
    exchange = await Exchange().ask(api, pieces(b"[1,", b"2]"), JSON, CHUNKED)
    assert (exchange.status, exchange.body) == (200, b"2")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, identity", "x-" + "y" * 90])
@in_own_loop
async def test_content_encoding_is_refused_by_name(api: FastAPI, encoding: str) -> None:
    exchange = await Exchange().ask(api, pieces(b"\x1f\x8b"), JSON, CHUNKED, ("content-encoding", encoding))
    assert (exchange.status, exchange.code) == (415, "unsupported_media_type")
    assert f"Content-Encoding {encoding[:40]} is not accepted" in json.loads(exchange.body)["detail"]
    assert exchange.headers["accept-encoding"] == "identity"


@in_own_loop
async def test_encoding_in_a_second_header_is_refused_by_name(api: FastAPI) -> None:
    encodings = [("content-encoding", encoding) for encoding in ("identity", "gzip")]
    exchange = await Exchange().ask(api, pieces(b"\x1f\x8b"), JSON, CHUNKED, *encodings)
    assert exchange.status == 415
    assert "Content-Encoding identity, gzip is not accepted" in json.loads(exchange.body)["detail"]


@in_own_loop
async def test_identity_is_not_an_encoding(api: FastAPI) -> None:
    exchange = await Exchange().ask(api, pieces(b"[1]"), JSON, CHUNKED, ("content-encoding", "identity"))
    assert (exchange.status, exchange.body) == (200, b"1")


@in_own_loop
async def test_body_that_stops_halfway_times_out(api: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PIECE_SECONDS_MAX", 0.02)
    for framing in (CHUNKED, ("content-length", "6")):
        exchange = await Exchange().ask(api, pieces(b"[1,", ends=False), JSON, framing)
        assert (exchange.status, exchange.code) == (408, "request_timeout")
        assert exchange.headers["connection"] == "close"


@in_own_loop
async def test_dripping_body_times_out(api: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS_MAX", 0.02)
    exchange = await Exchange().ask(api, endless(b""), JSON, CHUNKED)
    assert (exchange.status, exchange.code) == (408, "request_timeout")


@in_own_loop
async def test_waiting_for_a_disconnect_has_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PIECE_SECONDS_MAX", 0.01)
    first = pieces(b"[1]")

    async def leaves_later() -> dict[str, Any]:
        nonlocal first
        message, first = await first(), leaves
        return message

    async def leaves() -> dict[str, Any]:
        await asyncio.sleep(0.1)
        return {"type": "http.disconnect"}

    seen = []

    async def app(scope: Any, receive: Receive, send: Any) -> None:
        seen.extend([(await receive())["type"], (await receive())["type"]])

    await Exchange().ask(BodyLimits(app), leaves_later, JSON, CHUNKED)
    assert seen == ["http.request", "http.disconnect"]


@in_own_loop
async def test_chunked_body_is_counted_as_it_arrives(api: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_BYTES_MAX", 10)
    exchange = await Exchange().ask(api, endless(b"[[["), JSON, CHUNKED)
    assert (exchange.status, exchange.code, exchange.read) == (413, "too_large", 12)


@pytest.mark.parametrize(
    ("status", "header"), [(413, JSON), (415, ("content-type", "text/plain"))], ids=["413", "415"]
)
@in_own_loop
async def test_refused_body_is_answered_before_it_is_read_and_dropped(
    api: FastAPI, monkeypatch: pytest.MonkeyPatch, status: int, header: tuple[str, str]
) -> None:
    monkeypatch.setattr(limits, "BODY_BYTES_MAX", 10)
    monkeypatch.setattr(limits, "DROPPED_BYTES_MAX", 100)
    exchange = await Exchange().ask(api, endless(b"1234567"), header, ("content-length", "1000"))
    assert (exchange.status, exchange.read_before_answer, exchange.ended) == (status, 0, True)
    assert 100 < exchange.read <= 107


@in_own_loop
async def test_total_size_of_bodies_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODIES_BYTES_MAX", 10)
    held, go_on = asyncio.Event(), asyncio.Event()
    inner = FastAPI()
    inner.add_middleware(BodyLimits)
    problems.add_to(inner)

    @inner.post("/")
    async def hold(body: list[int]) -> int:
        held.set()
        await go_on.wait()
        return len(body)

    def ask() -> Any:
        return Exchange().ask(inner, pieces(b"[1,2,3]"), JSON, CHUNKED)

    first = asyncio.create_task(ask())
    await held.wait()
    refused = await ask()
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    go_on.set()
    assert (await first).status == 200
    assert (await ask()).status == 200


@in_own_loop
async def test_answer_that_the_client_does_not_read_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEND_SECONDS_MAX", 0.02)
    closed = []

    class File(StreamingResponse):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            try:
                await super().__call__(scope, receive, send)
            finally:
                closed.append(True)

    def endless_file() -> File:
        return File(itertools.repeat(b"row"))

    inner = FastAPI()
    problems.add_to(inner)
    inner.add_api_route("/", endless_file, response_model=None)

    async def takes_nothing(message: dict[str, Any]) -> None:
        if message.get("body"):
            await asyncio.Event().wait()

    scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b""}
    scope |= {"headers": [(b"host", b"here")], "http_version": "1.1", "client": None, "server": None}
    async with asyncio.timeout(GIVE_UP_SECONDS):
        await ClientLimits(inner)(scope, pieces(ends=False), takes_nothing)
    assert closed


async def ok(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    ("status", "header"),
    [
        (200, ("x", "y")),
        (200, ("origin", "null")),
        (200, ("origin", "https://[::1]:3000")),
        (200, ("origin", "https://billing.example")),
        (400, ("host", "evil.test")),  # the second one
        (400, ("origin", "https://[")),
        (400, ("origin", "https://[::zz]")),
        (400, ("origin", "https://a b")),
        (400, ("origin", 'https://a"><script>')),
        (400, ("origin", "")),
        (431, ("x", "y" * limits.HEAD_BYTES_MAX)),
    ],
)
@in_own_loop
async def test_malformed_request_is_refused(status: int, header: tuple[str, str]) -> None:
    exchange = await Exchange().ask(ClientLimits(ok), pieces(), header, method="GET")
    assert exchange.status == status
