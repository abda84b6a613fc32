"""What a serving process counts and measures. The places that call this know nothing of Prometheus.

Everything here is called on the event loop and costs about a microsecond at most. What transactions
count is in `Database.counts`, and `telemetry.exposition` shows both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from billing_app.telemetry.instruments import Distribution

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROUND_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)

RequestKey = tuple[str, str, int]
"""Method, route template and status. None of them is text that a caller chose."""


class Metrics:
    """The counts and timings of one process."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.round_sizes = Distribution(ROUND_SIZES)
        self.round_seconds = Distribution(SECONDS)
        self.requests: dict[RequestKey, Distribution] = {}
        self.open_websockets = 0
        self.queue_length: Callable[[], int] = lambda: 0
        """Returns how many single events wait for their round. The recorder sets it."""
        self.queue_max = 10_000
        """How many may wait before more are refused. The recorder sets it."""

    def is_queue_full(self) -> bool:
        """Return whether single events are refused because too many are waiting."""
        return self.queue_length() >= self.queue_max

    def round_recorded(
        self,
        size: int,
        seconds: float,
        *,
        recorded: int = 0,
        duplicate: int = 0,
        conflict: int = 0,
        rejected: int = 0,
    ) -> None:
        """Count a committed round of single events; `seconds` is from its start to its commit."""
        self.round_sizes.add(size)
        self.round_seconds.add(seconds)
        self.events["recorded"] += recorded
        self.events["duplicate"] += duplicate
        self.events["conflict"] += conflict
        self.events["rejected"] += rejected

    def event_rejected(self) -> None:
        """Count a single event that was rejected before it was in a round."""
        self.events["rejected"] += 1

    def request_answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request by its route template, and how long it took until its answer was complete."""
        timings = self.requests.get((method, route, status))
        if timings is None:
            timings = self.requests[method, route, status] = Distribution(SECONDS)
        timings.add(seconds)
