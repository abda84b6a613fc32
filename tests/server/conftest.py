"""Run code as a user who does not own the files of a test."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable

import pytest

OTHER_USER = 12_345
AsOtherUser = Callable[[Callable[[], None]], None]


@pytest.fixture
def as_other_user() -> AsOtherUser:
    """Return a function that runs code in a forked process, under root as a user without an account."""

    def run(work: Callable[[], None]) -> None:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                if os.geteuid() == 0:
                    os.setgroups([])
                    os.setgid(OTHER_USER)
                    os.setuid(OTHER_USER)
                work()
                code = 0
            finally:
                if code:
                    traceback.print_exc()
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    return run
