"""Worker processes: Python processes that execute functions for this one, on another core.

They are plain child processes rather than those of `multiprocessing`, which would import the program that
started the server once more and would keep running after a server that was killed. A worker process ends
with the process that started it, however that ends, because the pipe between them then closes. Whatever
transaction it was in is rolled back.
"""

from __future__ import annotations

import functools
import logging
import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import IO, Any, Concatenate, ParamSpec, Self, TypeVar

import billing_app
from billing_app.database.session import Database, utc_now

P = ParamSpec("P")
Result = TypeVar("Result")

_IMPORTED_FROM = Path(next(iter(billing_app.__path__))).parent
_END_SECONDS_MAX = 5.0


class WorkerDied(OSError):
    """A worker process has ended in the middle of its work, for example because it was killed."""


class _InWorker(Exception):
    """Where an error was raised in a worker process, as the cause of the error."""


class WorkerProcess:
    """A process that executes functions on the same database, one at a time.

    A function is passed by its name, its arguments and its result by value. Its first argument is the
    worker's own `Database`. Its clock shows the real time, or stands still if the caller's clock is another.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # In a session of its own, so that Ctrl-C in a terminal reaches only the process that decides.
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_IMPORTED_FROM,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def call(
        self,
        function: Callable[Concatenate[Database, P], Result],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result:
        """Execute a function in the process, and return its result or raise its error.

        Raises:
            WorkerDied: The process has ended. Its last transaction may have been committed.
        """
        return self.call_with_progress(lambda progress: None, function, *args, **kwargs)

    def call_with_progress(
        self,
        on_progress: Callable[[Any], None],
        function: Callable[Concatenate[Database, P], Result],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result:
        """Do the same, and call `on_progress` with everything that the function passes to `report_progress`."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests
        assert answers
        clock = self._database.clock
        moment = None if clock is utc_now else clock()
        try:
            # As bytes, so that the other side can tell a request that it can't read from the end of the pipe.
            pickle.dump(pickle.dumps((function, self._database.url, moment, args, kwargs)), requests)
            requests.flush()
            kind, content = pickle.load(answers)
            while kind in ("log", "progress"):
                if kind == "log":
                    _log(*content)
                else:
                    on_progress(content)
                kind, content = pickle.load(answers)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            raise WorkerDied("a worker process has ended unexpectedly") from error
        if kind == "error":
            raise _restored(*content)
        result: Result = content
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        """End the process at once. A transaction that it is in is rolled back."""
        process = self._process
        with suppress(OSError):
            if process.stdin:
                process.stdin.close()
        try:
            process.wait(_END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


@contextmanager
def worker_processes(database: Database, number: int) -> Iterator[list[WorkerProcess]]:
    """Start worker processes, and end them with the block."""
    with ExitStack() as stack:
        yield [stack.enter_context(WorkerProcess(database)) for _ in range(number)]


def report_progress(progress: object) -> None:
    """Pass something to the process that called the function. Called in a worker process only."""
    _answer("progress", progress)


def _log(name: str, level: int, message: str, error: tuple[BaseException, str] | None) -> None:
    """Log what the worker process logged, with this process's handlers."""
    logging.getLogger(name).log(level, "%s", message, exc_info=_restored(*error) if error else None)


def _restored(error: BaseException, where: str) -> BaseException:
    error.__cause__ = _InWorker(where)
    return error


# Below is what runs in the worker process.

_answers: IO[bytes] | None = None


def _answer(kind: str, content: object) -> None:
    # Written at once: an answer that can't be pickled must not leave its first half in the pipe.
    assert _answers, "this is not a worker process"
    _answers.write(pickle.dumps((kind, content)))
    _answers.flush()


def _portable(error: BaseException) -> tuple[BaseException, str]:
    """Return an error and the lines of code where it was raised, both of which can be pickled."""
    where = "".join(traceback.format_tb(error.__traceback__))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever the reason, only its name is passed on
        return RuntimeError(type(error).__name__), where
    return error, where


class _LogInCaller(logging.Handler):
    """Passes log records to the process that called."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        _answer(
            "log", (record.name, record.levelno, record.getMessage(), _portable(error) if error else None)
        )


@functools.cache
def _database(url: str) -> Database:
    return Database(url, pool_size=2)


def _read_requests(requests: IO[bytes], queue: SimpleQueue[bytes]) -> None:
    """Pass requests on until the pipe closes. Then end the process, whatever it is doing."""
    with suppress(EOFError):
        while True:
            queue.put(pickle.load(requests))
    os._exit(0)


def _execute(request: bytes) -> tuple[str, object]:
    try:
        function, url, moment, args, kwargs = pickle.loads(request)
        database = _database(url)
        database.clock = utc_now if moment is None else lambda: moment
        return "result", function(database, *args, **kwargs)
    except Exception as error:  # noqa: BLE001 - raised in the process that called
        return "error", _portable(error)


def main() -> None:
    """Execute requests from standard input and answer on standard output, until standard input closes."""
    global _answers
    requests, _answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # Nothing else may write into the pipe.
    # A service manager may signal all processes of a service. The one that called decides when to stop.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logging.getLogger().addHandler(_LogInCaller())
    queue: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_read_requests, args=(requests, queue), name="requests", daemon=True).start()
    while True:
        _answer(*_execute(queue.get()))
