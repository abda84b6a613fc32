"""Output of commands: the two consoles, the progress bar, and printing failures."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")]


def fail(message: str) -> NoReturn:
    """Print one line on standard error and exit with code 1."""
    print_error(f"billing: {message}")
    sys.exit(1)


def print_error(line: str) -> None:
    """Print a line on standard error exactly as it is: no markup, no wrapping."""
    err.print(line, markup=False, soft_wrap=True)


def progress_bar(*columns: ProgressColumn, quiet: bool) -> Progress:
    """Build a progress bar on standard error, hidden when `quiet` or when that is not a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        TimeElapsedColumn(),
        console=err,
        disable=quiet or not err.is_terminal,
        transient=True,
    )
