"""Install a runtime with a test's database for the duration of the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI

from billing_app import runtime
from billing_app.api.app import create_api
from billing_app.database.session import Database
from billing_app.jobs.authentication import Authenticator
from billing_app.runtime import Runtime
from billing_app.server.middleware.limits import BodyLimits
from billing_app.server.middleware.single_events import SingleEvents
from billing_app.settings import Settings

SECRET = "a secret of thirty-two bytes, or more"


@contextmanager
def installed(database: Database, **settings: Any) -> Iterator[Runtime]:
    """Install a runtime with the database and a fixed signing secret."""
    before = runtime.current() if runtime.is_installed() else None
    inner = Runtime(database, Settings(jwt_secret=SECRET, **settings))
    runtime.install(inner)
    try:
        yield inner
    finally:
        inner.background.stop()
        runtime.install(before)


def authenticator() -> Authenticator:
    """Return the authenticator of the installed runtime."""
    return runtime.current().authenticator


def limited_api() -> FastAPI:
    """Build the API with its limits on bodies, and single events before them, as it is served."""
    api = create_api()
    api.add_middleware(BodyLimits)
    api.add_middleware(SingleEvents)
    return api
