"""Answers requests in rounds: those that arrive during one round are answered together in the next.

One statement for 64 requests costs hardly more than one for a single request. All of it happens on
the event loop that the requests come from: there is one task and one connection, and no thread.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import psycopg
from psycopg.errors import LockNotAvailable

from billing_app.database.kept_connection import Connection, KeptConnection, Prepare
from billing_app.database.session import Database, is_retryable, is_unavailable
from billing_app.errors import Busy

# Further requests are refused, because they would wait longer than their clients do.
WAITING_MAX = 10_000
ROUND_MAX = 1_000
_TRIES_MAX = 8

Request = TypeVar("Request")
Answer = TypeVar("Answer")

AnswerAll = Callable[[Connection, Sequence[Request], bool], Awaitable[Sequence[Answer | Exception]]]


class Rounds(Generic[Request, Answer]):
    """Answers requests together, in the order of their arrival, without waiting for more to arrive.

    `answer_all` gets the requests of a round and returns an answer for each, in their order, or an
    exception that is raised for that request alone. It runs one transaction on the connection, which
    is in autocommit mode and was given to `prepare` when it was opened. A round that the database
    refuses is halved until the request that caused it is alone with the error. If it was refused
    because it waited too long for a lock, `answer_all` is told to wait only briefly in the halves.
    """

    def __init__(
        self,
        database: Database,
        answer_all: AnswerAll[Request, Answer],
        prepare: Prepare | None = None,
    ) -> None:
        self._database = database
        self._answer_all = answer_all
        self._prepare = prepare
        # A server has one event loop. Tests have several, and a connection belongs to one.
        self._queues: WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue[Request, Answer]] = (
            WeakKeyDictionary()
        )

    async def answer(self, request: Request) -> Answer:
        """Return the request's answer. Raises its exception, or Busy if too many requests are waiting."""
        loop = asyncio.get_running_loop()
        queue = self._queues.get(loop)
        if queue is None or queue.is_closed:
            queue = self._queues[loop] = _Queue(self._database, self._answer_all, self._prepare)
        return await queue.add(request)

    @property
    def waiting(self) -> int:
        """How many requests wait for the next round."""
        return sum(queue.waiting for queue in list(self._queues.values()))

    async def close(self) -> None:
        """Answer what is waiting on this event loop, then close its connection."""
        queue = self._queues.pop(asyncio.get_running_loop(), None)
        if queue is not None:
            await queue.close()


class _Waiting(NamedTuple, Generic[Request, Answer]):
    request: Request
    answer: asyncio.Future[Answer]


class _Queue(Generic[Request, Answer]):
    """The requests of one event loop, the task that answers them, and its connection."""

    def __init__(
        self, database: Database, answer_all: AnswerAll[Request, Answer], prepare: Prepare | None
    ) -> None:
        self._answer_all = answer_all
        self._connection = KeptConnection(database, prepare)
        self._waiting: deque[_Waiting[Request, Answer]] = deque()
        self._has_work = asyncio.Event()
        self._is_ending = False
        self._task = asyncio.create_task(self._run(), name="rounds")

    @property
    def is_closed(self) -> bool:
        """Whether no more requests are answered."""
        return self._is_ending or self._task.done()

    @property
    def waiting(self) -> int:
        """How many requests wait for the next round."""
        return len(self._waiting)

    def add(self, request: Request) -> asyncio.Future[Answer]:
        """Return a future with the answer. Raises Busy."""
        if len(self._waiting) >= WAITING_MAX:
            raise Busy(retry_after_seconds=1)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(request, answer))
        self._has_work.set()
        return answer

    async def close(self) -> None:
        """Answer what is waiting, then close the connection."""
        self._is_ending = True
        self._has_work.set()
        await self._task

    async def _run(self) -> None:
        try:
            while not self._is_ending:
                await self._has_work.wait()
                self._has_work.clear()
                while self._waiting:
                    await self._answer_round(self._take_round())
        finally:
            for each in self._waiting:
                each.answer.cancel()
            await self._connection.close()

    def _take_round(self) -> list[_Waiting[Request, Answer]]:
        taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), ROUND_MAX))]
        # A caller that was cancelled while it waited has gone, and nothing was done for it yet.
        return [each for each in taken if not each.answer.cancelled()]

    async def _answer_round(self, taken: list[_Waiting[Request, Answer]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._try([each.request for each in taken])
        except Exception as error:  # noqa: BLE001 - whatever it is, every waiting request must get it
            answers = [error] * len(taken)
        for each, answer in zip(taken, answers, strict=True):
            if each.answer.done():
                continue
            if isinstance(answer, Exception):
                each.answer.set_exception(answer)
            else:
                each.answer.set_result(answer)

    async def _try(self, requests: list[Request], *, is_late: bool = False) -> Sequence[Answer | Exception]:
        """Answer the requests, and again while the database asks for another try.

        Raises the database's error if it concerns all of them: the outcome is unknown, or nothing was
        done. Their senders can send them again.
        """
        for attempt in range(1, _TRIES_MAX + 1):
            try:
                async with self._connection.use() as connection:
                    return await self._answer_all(connection, requests, is_late)
            except psycopg.Error as error:
                if is_retryable(error) and attempt < _TRIES_MAX:
                    await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))
                elif is_unavailable(error):
                    raise
                else:
                    is_late = is_late or isinstance(error, LockNotAvailable)
                    return await self._halve(requests, error, is_late=is_late)
        raise AssertionError("unreachable")

    async def _halve(
        self, requests: list[Request], error: psycopg.Error, *, is_late: bool
    ) -> Sequence[Answer | Exception]:
        """Answer a refused round in two halves, so that in the end one request alone gets the error."""
        if len(requests) == 1:
            return [Busy(retry_after_seconds=1) if isinstance(error, LockNotAvailable) else error]
        middle = len(requests) // 2
        first, second = requests[:middle], requests[middle:]
        return [*await self._try(first, is_late=is_late), *await self._try(second, is_late=is_late)]
