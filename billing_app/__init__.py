"""Tallybook: metered subscription billing."""
