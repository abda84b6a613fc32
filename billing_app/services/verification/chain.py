"""A customer's chain of invoices and stated gaps, walked in the order of their numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from billing_app.domain.invoice import NumberGap, gap_sha256


class GapRecord(NamedTuple):
    """A stored gap in invoice numbers, and the hash that is stored with it."""

    gap: NumberGap
    sha256: str


class Chain:
    """The position in a chain: the last number and hash so far, and the number expected next.

    An invoice with a wrong number does not make the numbers after it wrong, so `expected` counts.
    """

    def __init__(self, gaps: Iterable[GapRecord]) -> None:
        self._gaps = {each.gap.first_sequence: each for each in gaps}
        self.expected = 1
        self.sequence = 0
        self.sha256: str | None = None
        self.wrong_gaps: list[NumberGap] = []

    def pass_gaps(self) -> None:
        """Move past the gaps that come next, and collect those that don't fit the chain."""
        while stored := self._gaps.pop(self.expected, None):
            if stored.gap.previous_sha256 != self.sha256 or stored.sha256 != gap_sha256(stored.gap):
                self.wrong_gaps.append(stored.gap)
            self.sequence, self.sha256 = stored.gap.last_sequence, stored.sha256
            self.expected = self.sequence + 1

    def pass_invoice(self, sequence: int, sha256: str) -> None:
        """Move past an invoice."""
        self.sequence, self.sha256 = sequence, sha256
        self.expected += 1

    def end(self) -> None:
        """Collect the gaps that no number led to."""
        self.wrong_gaps += [stored.gap for stored in self._gaps.values()]
