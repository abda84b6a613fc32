"""The format of the log: JSON, or readable lines on a terminal, always with the request's id.

Modules log with the standard library's `logging`, so that libraries and our own code take the same way.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from billing_app.telemetry.redaction import format_exception, redact
from billing_app.telemetry.request_ids import REQUEST_ID

OURS = "billing_app"

logger = logging.getLogger(__name__)


def configure_logging(level: str = "info") -> None:
    """Send all logs to standard error. `level` is for our own lines; libraries log warnings.

    Can be called again.
    """
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _Handler):
            root.removeHandler(handler)
    handler = _Handler(sys.stderr)
    handler.setFormatter(create_formatter(as_json=not sys.stderr.isatty()))
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(level.upper())
    _take_over("_granian")
    logging.captureWarnings(True)
    threading.excepthook = _log_end_of_thread


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Ours, and not one that a test or a library has added."""


def create_formatter(*, as_json: bool) -> logging.Formatter:
    """Create what turns a record into a line."""
    renderer: Processor = structlog.processors.JSONRenderer(default=str)
    if not as_json:
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            _add_request_id,
            structlog.stdlib.ExtraAdder(),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.ExceptionRenderer(format_exception),
            _redact_values,
            renderer,
        ],
    )


def _add_request_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if request_id := REQUEST_ID.get():
        event["request_id"] = request_id
    return event


def _redact_values(_logger: WrappedLogger, _method: str, event: EventDict) -> MutableMapping[str, Any]:
    if event.get("logger") == "asyncio":
        # The lines after the first show tasks and errors with their values.
        event["event"] = event["event"].partition("\n")[0]
    # Left behind by handlers of others, which format a record in place.
    event.pop("message", None)
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = redact(value)
    return event


def _take_over(library: str) -> None:
    """Make a library that has handlers of its own log like all others."""
    other = logging.getLogger(library)
    other.handlers.clear()
    other.propagate = True


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    name = ended.thread.name if ended.thread else "a thread"
    logger.error("A thread ended with an error: %s", name, exc_info=ended.exc_value)
