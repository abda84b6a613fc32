"""What is asked while one round is under way is answered together in the next.

One statement for sixty-four costs hardly more than for one, and one thread that hands out sixty-four
answers far less than sixty-four threads that each wait for a turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Generic, NamedTuple, TypeVar

from billing_app.errors import Busy

# More are refused: they would wait longer than who asks does.
WAITING_MAX = 10_000
ROUND_MAX = 1_000

Kind = TypeVar("Kind", bound=Hashable)
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class _Waiting(NamedTuple, Generic[Kind, Asked, Answer]):
    kind: Kind
    asked: Asked
    answer: Future[Answer]


class Gathering(Generic[Kind, Asked, Answer]):
    """Answers by one thread, which lives while there is something to do.

    `answer_all` gets what was asked of one kind, and answers each in its place; an answer that is an
    exception is raised for its own asker, and what it raises itself for all of them. Nobody waits for
    others to come: what is asked alone is answered at once.
    """

    def __init__(
        self, name: str, answer_all: Callable[[Kind, list[Asked]], Sequence[Answer | Exception]]
    ) -> None:
        self._name = name
        self._answer_all = answer_all
        self._waiting: deque[_Waiting[Kind, Asked, Answer]] = deque()
        self._lock = Lock()
        self._is_answering = False

    def ask(self, kind: Kind, asked: Asked) -> Future[Answer]:
        """The answer, when it is there. Raises Busy."""
        answer: Future[Answer] = Future()
        with self._lock:
            if len(self._waiting) >= WAITING_MAX:
                raise Busy(retry_after_seconds=1)
            if not self._is_answering:
                Thread(target=self._go_round, name=self._name, daemon=True).start()
                self._is_answering = True
            self._waiting.append(_Waiting(kind, asked, answer))
        return answer

    def _go_round(self) -> None:
        while taken := self._take():
            kinds: dict[Kind, list[_Waiting[Kind, Asked, Answer]]] = {}
            for each in taken:
                # For who has gone away while waiting nothing is done; from here on nobody can.
                if each.answer.set_running_or_notify_cancel():
                    kinds.setdefault(each.kind, []).append(each)
            for kind, group in kinds.items():
                self._answer(kind, group)

    def _take(self) -> list[_Waiting[Kind, Asked, Answer]]:
        with self._lock:
            taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), ROUND_MAX))]
            self._is_answering = bool(taken)
        return taken

    def _answer(self, kind: Kind, group: list[_Waiting[Kind, Asked, Answer]]) -> None:
        try:
            answers = self._answer_all(kind, [each.asked for each in group])
        except Exception as error:  # noqa: BLE001 - whatever it was, everyone who waits is told
            for each in group:
                each.answer.set_exception(error)
            return
        for each, answer in zip(group, answers, strict=True):
            if isinstance(answer, Exception):
                each.answer.set_exception(answer)
            else:
                each.answer.set_result(answer)
