"""Handles requests in groups: those that arrive during one round are handled together in the next.

One statement for 64 requests costs hardly more than one for a single request, and one thread that
resolves 64 futures costs far less than 64 threads that each wait for their turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Generic, NamedTuple, TypeVar

from billing_app.errors import Busy

# Further requests are rejected, because they would wait longer than their clients do.
WAITING_MAX = 10_000
ROUND_MAX = 1_000

Group = TypeVar("Group", bound=Hashable)
Request = TypeVar("Request")
Answer = TypeVar("Answer")


class _Waiting(NamedTuple, Generic[Group, Request, Answer]):
    group: Group
    request: Request
    answer: Future[Answer]


class Gatherer(Generic[Group, Request, Answer]):
    """Answers requests from one thread, which exists only while requests are waiting.

    `answer_all` gets the waiting requests of one group and returns an answer for each, in their order.
    If an answer is an exception, it is raised for that request. If `answer_all` raises, the exception is
    raised for every request of the group. A request never waits for more requests to arrive.
    """

    def __init__(
        self, name: str, answer_all: Callable[[Group, list[Request]], Sequence[Answer | Exception]]
    ) -> None:
        self._name = name
        self._answer_all = answer_all
        self._waiting: deque[_Waiting[Group, Request, Answer]] = deque()
        self._lock = Lock()
        self._is_running = False

    def submit(self, group: Group, request: Request) -> Future[Answer]:
        """Return a future with the answer. Raises Busy if too many requests are waiting."""
        answer: Future[Answer] = Future()
        with self._lock:
            if len(self._waiting) >= WAITING_MAX:
                raise Busy(retry_after_seconds=1)
            if not self._is_running:
                Thread(target=self._run, name=self._name, daemon=True).start()
                self._is_running = True
            self._waiting.append(_Waiting(group, request, answer))
        return answer

    def _run(self) -> None:
        while taken := self._take_round():
            groups: dict[Group, list[_Waiting[Group, Request, Answer]]] = {}
            for each in taken:
                # A request that was canceled while it waited is dropped. From here on it can't be canceled.
                if each.answer.set_running_or_notify_cancel():
                    groups.setdefault(each.group, []).append(each)
            for group, members in groups.items():
                self._answer_group(group, members)

    def _take_round(self) -> list[_Waiting[Group, Request, Answer]]:
        with self._lock:
            taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), ROUND_MAX))]
            self._is_running = bool(taken)
        return taken

    def _answer_group(self, group: Group, members: list[_Waiting[Group, Request, Answer]]) -> None:
        try:
            answers = self._answer_all(group, [each.request for each in members])
        except Exception as error:  # noqa: BLE001 - whatever it is, every waiting request must get it
            for each in members:
                each.answer.set_exception(error)
            return
        for each, answer in zip(members, answers, strict=True):
            if isinstance(answer, Exception):
                each.answer.set_exception(answer)
            else:
                each.answer.set_result(answer)
