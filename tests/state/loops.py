"""Running what is asynchronous in a test."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


def in_a_loop(work: Coroutine[Any, Any, Result]) -> Result:
    """In a loop and a thread of its own: Playwright keeps a loop running in a worker's own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def in_own_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """An asynchronous test, run by `in_a_loop`."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        in_a_loop(test(*args, **kwargs))

    return run
