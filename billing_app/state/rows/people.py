"""Rows of people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoAccount:
    """An account of the demo, shown on the sign-in page of a demo and nowhere else."""

    label: str = ""
    email: str = ""
    password: str = ""
    may: str = ""
