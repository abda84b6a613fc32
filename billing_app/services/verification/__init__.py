"""Verification: recompute every invoice from its events, and report each discrepancy."""
