"""CSV files, sent while they are read: whatever their length, no more than a chunk is in memory."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Concatenate, ParamSpec, TypeVar

import anyio
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from billing_app.api.wire.calls import Call
from billing_app.runtime import current

P = ParamSpec("P")
Row = TypeVar("Row")


class AsItCame(str):
    """A text to be given back to the byte, for programs: also what a spreadsheet would run."""

    __slots__ = ()


Cell = str | int | Decimal | date | datetime | None

# What a spreadsheet takes for a formula, or strips to find one.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

DESCRIBED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "The file."}
}


class CsvFile(StreamingResponse):
    """A file on its way, and what is open for it, which is closed however the sending ends."""

    media_type = "text/csv"

    def __init__(self, name: str, chunks: Iterator[bytes], opened: ExitStack) -> None:
        safe_name = re.sub(r"[^A-Za-z0-9._-]", "_", name)
        super().__init__(
            _in_threads(chunks), headers={"Content-Disposition": f'attachment; filename="{safe_name}"'}
        )
        self._opened = opened

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the file; the connection to the database is back in the pool afterwards."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Also after the client has gone away, when everything awaited here is cancelled.
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._opened.close)


def csv_file(
    call: Call,
    name: str,
    columns: Sequence[str],
    cells: Callable[[Row], Iterable[Cell]],
    service: Callable[Concatenate[Any, Any, P], Iterator[Sequence[Row]]],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> CsvFile:
    """The rows of `service(session, actor, ...)`, which answers them chunk by chunk, as a file.

    All of it in one READ ONLY transaction. What the service refuses, it refuses before the first
    byte: it checks when it is called, and reads when it is iterated.
    """
    with ExitStack() as opening:
        session = opening.enter_context(current().database.transaction(call.actor, read_only=True))
        chunks = service(session, call.actor, *args, **kwargs)
        return CsvFile(name, _encoded(columns, chunks, cells), opening.pop_all())


def _encoded(
    columns: Sequence[str], chunks: Iterator[Sequence[Row]], cells: Callable[[Row], Iterable[Cell]]
) -> Iterator[bytes]:
    yield _lines([columns])
    for chunk in chunks:
        yield _lines(cells(row) for row in chunk)


def _lines(rows: Iterable[Iterable[Cell]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _cell(value: Cell) -> str:
    """A value as the API writes it; a text that a spreadsheet would run gets an apostrophe before it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (int, date)):
        return str(value)
    runs = value.startswith(_FORMULA_STARTS) and not isinstance(value, AsItCame)
    return f"'{value}" if runs else value


async def _in_threads(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The next chunk is read, in a thread, when the one before has been sent."""
    while (chunk := await run_in_threadpool(next, chunks, None)) is not None:
        yield chunk
