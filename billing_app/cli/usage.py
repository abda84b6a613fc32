"""`billing import-usage` and `billing import-corrections`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Protocol, Self

import typer
from rich.progress import DownloadColumn

from billing_app.cli.access import open_database, operator
from billing_app.cli.console import AsJson, err, fail, out, print_error, progress_bar
from billing_app.database.session import Database
from billing_app.documents.csv_rows import (
    BYTE_ORDER_MARK,
    encode_rows,
    rejected_columns,
    rejected_row_cells,
)
from billing_app.domain.actor import Actor
from billing_app.jobs.correction_import import import_corrections
from billing_app.jobs.file_import import CheckedFile, ImportSummary, import_usage, open_checked_file
from billing_app.jobs.usage_files import CORRECTIONS, USAGE, Layout
from billing_app.services.usage_imports.rows import RejectedRow
from billing_app.wording.refusals import reason_sentence

commands = typer.Typer()
_File = Annotated[Path, typer.Argument(metavar="FILE.csv", help="A CSV file, or CSV compressed with gzip.")]
_Rejected = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write conflicts and rejected rows, with reasons, to this CSV file."),
]


class _Importer(Protocol):
    def __call__(
        self,
        database: Database,
        actor: Actor,
        file: CheckedFile,
        *,
        on_rejected: Callable[[RejectedRow], None],
        on_progress: Callable[[ImportSummary], None],
    ) -> ImportSummary: ...


@commands.command("import-usage")
def import_usage_command(file: _File, rejected: _Rejected = None, as_json: AsJson = False) -> None:
    """Record the usage events in a CSV file. Importing a file again records nothing twice.

    Columns: customer (ID or key), idempotency_key, quantity, occurred_at (RFC 3339; empty means now), and if
    needed meter and item.
    The whole file is read first, and nothing is recorded if it is damaged. Exits with code 1 if any
    row is a conflict or rejected.
    """
    _import_file(file, rejected, USAGE, import_usage, as_json=as_json)


@commands.command("import-corrections")
def import_corrections_command(file: _File, rejected: _Rejected = None, as_json: AsJson = False) -> None:
    """Record the corrections of usage in a CSV file. Importing a file again records nothing twice.

    Columns: customer (ID or key), idempotency_key (of the event), quantity (what it should have been),
    reason, correction_key. Corrections of one event apply in the order of the rows. The whole file is read
    first, and nothing is recorded if it is damaged. Exits with code 1 if any row is a conflict or rejected.
    """
    _import_file(file, rejected, CORRECTIONS, import_corrections, as_json=as_json)


def _import_file(
    file: Path, rejected: Path | None, layout: Layout, importer: _Importer, *, as_json: bool
) -> None:
    if rejected:
        _require_other_file(rejected, file)
    with (
        open_checked_file(file, layout) as checked_file,
        _RejectedRows(rejected, checked_file.columns, quiet=as_json) as rejected_rows,
    ):
        summary = _import(importer, checked_file, rejected_rows, quiet=as_json)
    _print_summary(summary, rejected_rows, as_json=as_json)
    if summary.conflicts or summary.rejected:
        raise typer.Exit(1)


def _require_other_file(rejected: Path, file: Path) -> None:
    """Fail before anything is read or truncated if `--rejected` names the input file or can't be written."""
    if rejected.is_dir():
        fail(f"--rejected must name a file, but {rejected} is a directory")
    if rejected.exists() and file.exists() and rejected.samefile(file):
        fail(f"--rejected must not name the file to import, but {rejected} is {file}")
    if not rejected.absolute().parent.is_dir():
        fail(f"--rejected must name a file in an existing directory, which {rejected} is not")


def _import(
    importer: _Importer, file: CheckedFile, rejected_rows: _RejectedRows, *, quiet: bool
) -> ImportSummary:
    with open_database() as database, progress_bar(DownloadColumn(), quiet=quiet) as progress:
        task = progress.add_task(f"Importing {file.name}", total=file.size_bytes)
        return importer(
            database,
            operator(),
            file,
            on_rejected=rejected_rows.add,
            on_progress=lambda so_far: progress.update(task, completed=so_far.bytes_read),
        )


def _print_summary(summary: ImportSummary, rejected_rows: _RejectedRows, *, as_json: bool) -> None:
    counts = dataclasses.asdict(summary)
    del counts["bytes_read"]
    if as_json:
        print(json.dumps({**counts, "rejected_rows": rejected_rows.listed}))
    else:
        out.print(
            f"{summary.rows:,} rows: {summary.recorded:,} recorded, {summary.duplicates:,} duplicates, "
            f"{summary.conflicts:,} conflicts, {summary.rejected:,} rejected"
        )


class _RejectedRows:
    """Report each conflict and rejected row: in the file if one is given, otherwise on standard error."""

    LISTED_MAX = 1_000

    def __init__(self, path: Path | None, columns: Sequence[str], *, quiet: bool) -> None:
        self.listed: list[dict[str, object]] = []
        self._path, self._quiet, self._count = path, quiet, 0
        self._header = rejected_columns(columns)

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("wb") if self._path else None
        except OSError as error:
            fail(f"--rejected: {self._path} can't be written: {error.strerror}")
        if self._file:
            self._file.write(BYTE_ORDER_MARK + encode_rows([self._header]))
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()
        elif self._count > self.LISTED_MAX and not self._quiet:
            err.print(f"... and {self._count - self.LISTED_MAX:,} more. --rejected FILE keeps all of them.")

    def add(self, row: RejectedRow) -> None:
        """Report a row."""
        self._count += 1
        if self._file:
            self._file.write(encode_rows([rejected_row_cells(row)]))
        elif self._count <= self.LISTED_MAX:
            detail = reason_sentence(row.reason)
            self.listed.append({"line": row.line, "code": row.reason.code, "detail": detail})
            if not self._quiet:
                print_error(f"line {row.line}: {detail} [{row.reason.code}]")
