"""When work in the background is given up."""

from __future__ import annotations

# In a row, without getting any further; between two of them the background pauses longer and longer.
ATTEMPTS_MAX = 5
