"""Run asynchronous code in a test."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


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
