"""Running what is asynchronous in a test: in threads of their own, because Playwright keeps a loop in the main one."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

Result = TypeVar("Result")


class Loop:
    """A running event loop that takes work from other threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def start(self, work: Awaitable[Result]) -> Future[Result]:
        """Start something on the loop, after everything that was started before."""

        async def run() -> Result:
            return await work

        return asyncio.run_coroutine_threadsafe(run(), self._loop)

    def run(self, work: Awaitable[Result]) -> Result:
        """Run something on the loop and return its result."""
        return self.start(work).result(timeout=60)


@contextmanager
def running_loop() -> Iterator[Loop]:
    """Run an event loop for as long as the block lasts. What still runs on it is cancelled then."""
    ready: Future[asyncio.AbstractEventLoop] = Future()

    async def wait_for_end() -> None:
        ready.set_result(asyncio.get_running_loop())
        await asyncio.get_running_loop().create_future()

    def run() -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(wait_for_end())

    thread = threading.Thread(target=run, name="test-loop")
    thread.start()
    loop = ready.result(timeout=10)
    try:
        yield Loop(loop)
    finally:
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
        thread.join(timeout=30)


def in_a_loop(work: Coroutine[Any, Any, Result]) -> Result:
    """Run in a new event loop and thread, because Playwright keeps one running in the test's thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def in_own_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make an asynchronous test run in `in_a_loop`."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        in_a_loop(test(*args, **kwargs))

    return run
