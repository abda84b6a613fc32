"""Whether the servers' memory stays flat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from soak.servers import Server

# A process reaches its working set in its first rounds, so it is compared with what it had after some of them.
_WARM_ROUNDS = 3
_GROWTH_MAX = 1.5


class Memory:
    """The memory of each process that answers requests, after each round that it lived through."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers = servers
        self._samples: dict[tuple[str, int], list[float]] = defaultdict(list)
        self.sample()

    def sample(self) -> None:
        """Measure all servers."""
        for server in self._servers:
            if measured := server.memory_mb():
                pid, megabytes = measured
                self._samples[server.name, pid].append(megabytes)

    def lines(self) -> list[str]:
        """Return a line for each process that lived for more than one round: its memory before and after."""
        return [
            f"memory of {name}: {found[0]:.0f} MB before, {found[-1]:.0f} MB after {len(found) - 1} rounds"
            f" ({max(found):.0f} MB at most)"
            for (name, _), found in self._samples.items()
            if len(found) > 1
        ]

    def problems(self) -> list[str]:
        """Return what is wrong: processes that kept growing."""
        return [
            f"the memory of {name} grew from {found[_WARM_ROUNDS]:.0f} to {found[-1]:.0f} MB"
            for (name, _), found in self._samples.items()
            if len(found) > 2 * _WARM_ROUNDS and found[-1] > _GROWTH_MAX * found[_WARM_ROUNDS]
        ]
