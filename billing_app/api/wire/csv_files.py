"""CSV files that are streamed from the database, one chunk in memory at a time."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Concatenate, ParamSpec, TypeVar

import anyio
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from billing_app.api.wire.calls import Call
from billing_app.database.session import allow_pauses
from billing_app.documents.csv_rows import BYTE_ORDER_MARK, Cell, encode_rows
from billing_app.domain.actor import Actor
from billing_app.runtime import current

P = ParamSpec("P")
Row = TypeVar("Row")

DESCRIBED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "The file."}
}


class CsvFile(StreamingResponse):
    """A response that streams a file. Its resources are released however the streaming ends."""

    media_type = "text/csv"

    def __init__(self, name: str, chunks: Iterator[bytes], opened: ExitStack) -> None:
        safe_name = re.sub(r"[^A-Za-z0-9._-]", "_", name)
        super().__init__(
            _in_threads(chunks), headers={"Content-Disposition": f'attachment; filename="{safe_name}"'}
        )
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, then return its database connection to the pool."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            # If the client disconnects, everything awaited here is cancelled, but this must still run.
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._opened.close)


def csv_file(
    call: Call,
    name: str,
    columns: Sequence[str],
    cells: Callable[[Row], Iterable[Cell]],
    service: Callable[Concatenate[Any, Actor, P], Iterator[Sequence[Row]]],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> CsvFile:
    """Return a response with the rows that `service(session, actor, ...)` yields in chunks.

    All chunks are read in one READ ONLY transaction. The service must raise its errors when it is called,
    before the first byte is sent, and read when it is iterated.
    """
    with ExitStack() as opening:
        session = opening.enter_context(current().database.transaction(call.actor, read_only=True))
        allow_pauses(session)
        chunks = service(session, call.actor, *args, **kwargs)
        return CsvFile(name, _encoded(columns, chunks, cells), opening.pop_all())


def _encoded(
    columns: Sequence[str], chunks: Iterator[Sequence[Row]], cells: Callable[[Row], Iterable[Cell]]
) -> Iterator[bytes]:
    yield BYTE_ORDER_MARK + encode_rows([columns])
    for chunk in chunks:
        yield encode_rows(cells(row) for row in chunk)


async def _in_threads(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Read each chunk in a thread, after the previous one has been sent."""
    while (chunk := await run_in_threadpool(next, chunks, None)) is not None:
        yield chunk
