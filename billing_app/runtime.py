"""The runtime of a process: one object with the settings, the database, the recorder and so on.

The composition root creates and installs it. Reflex creates states and FastAPI calls endpoints without
passing it, so they get it here. It is the only global object.
"""

from __future__ import annotations

import time
from threading import Lock

from billing_app.database.session import Database
from billing_app.jobs.authentication import Authenticator
from billing_app.jobs.background import Background
from billing_app.jobs.recorder import UsageRecorder
from billing_app.jobs.rounds import WAITING_MAX
from billing_app.settings import Settings
from billing_app.telemetry.metrics import Metrics

ORIGIN_REFUSALS_LOGGED_EVERY_SECONDS = 60.0


class Throttle:
    """Allows something once per interval. Used for log messages that clients could trigger at any rate."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next_at = 0.0
        self._lock = Lock()

    def allows(self) -> bool:
        """Return whether it is allowed now."""
        moment = time.monotonic()
        with self._lock:
            if moment < self._next_at:
                return False
            self._next_at = moment + self._seconds
            return True


class Runtime:
    """Everything that a process needs to serve one database."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.settings = settings
        self.database = database
        self.metrics = Metrics()
        self.authenticator = Authenticator(database, settings)
        self.recorder = UsageRecorder(database, self.metrics)
        self.metrics.queue_length = lambda: self.recorder.waiting
        self.metrics.queue_max = WAITING_MAX
        self.background = Background(database)
        self.is_stopping = False
        self.origin_refusals = Throttle(ORIGIN_REFUSALS_LOGGED_EVERY_SECONDS)


_installed: Runtime | None = None


def install(runtime: Runtime | None) -> None:
    """Set the runtime that `current` returns in this process; None removes it."""
    global _installed
    _installed = runtime


def is_installed() -> bool:
    """Return whether this process has a runtime."""
    return _installed is not None


def current() -> Runtime:
    """Return the process's runtime.

    Raises:
        RuntimeError: The composition root has not installed one yet.
    """
    if _installed is None:
        raise RuntimeError("no runtime is installed in this process")
    return _installed
