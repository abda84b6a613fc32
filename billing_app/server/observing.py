"""What makes a serving process observable: its log, and the port that its metrics are read from."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from billing_app.runtime import Runtime
from billing_app.server.addresses import AddressUnusable, find_metrics_address
from billing_app.telemetry.exposition import MetricsServer

logger = logging.getLogger(__name__)


@contextmanager
def observed(runtime: Runtime) -> Iterator[None]:
    """Serve the process's metrics if the settings say so, while the block lasts.

    Failing to do that is logged and does not keep the server from working.
    """
    server = _start_metrics(runtime)
    logger.info("started", extra={"version": version("tallybook")})
    try:
        yield
    finally:
        logger.info("stopping")
        if server:
            server.stop()


def _start_metrics(runtime: Runtime) -> MetricsServer | None:
    try:
        address = find_metrics_address(runtime.settings)
        if address is None:
            return None
        return MetricsServer(runtime.metrics, runtime.database, address.address, address.port)
    except (AddressUnusable, OSError) as error:
        logger.error("Metrics are not available: %s", error)
        return None
