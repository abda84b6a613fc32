"""The life of a serving process: from getting its runtime to stopping its work in the background."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from starlette.types import ASGIApp

from billing_app import runtime
from billing_app.database.provision import provide_database
from billing_app.database.session import Database
from billing_app.server.garbage import freeze_loaded_objects
from billing_app.server.middleware.stack import wrap_server
from billing_app.server.observing import observed
from billing_app.server.serving import end_with_parent
from billing_app.settings import Settings
from billing_app.telemetry.logs import configure_logging


@asynccontextmanager
async def running() -> AsyncIterator[None]:
    """Install the runtime, and run the background workers while the process serves."""
    with ExitStack() as stack:
        if not runtime.is_installed():
            settings = Settings()
            configure_logging(settings.log_level)
            urls = stack.enter_context(provide_database(settings))
            runtime.install(runtime.Runtime(Database(urls.application), settings))
        stack.enter_context(observed(runtime.current()))
        background = runtime.current().background
        background.start()
        try:
            yield
        finally:
            runtime.current().is_stopping = True
            background.stop()
            await runtime.current().recorder.close()
            await runtime.current().authenticator.close()


def finish_application(application: ASGIApp, build: Path) -> ASGIApp:
    """Complete the application of a serving process; call this once everything is loaded."""
    end_with_parent()
    application = wrap_server(application, build)
    freeze_loaded_objects()
    return application
