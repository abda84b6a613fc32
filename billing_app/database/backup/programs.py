"""Finding and running PostgreSQL's own pg_dump and pg_restore."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from billing_app.database.backup.errors import BackupUnusable
from billing_app.database.embedded.programs import ENVIRONMENT, installed_programs, major_version
from billing_app.database.urls import plain_url

_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_STDERR_BYTES_MAX = 10_000


def find_program(name: str, major: int, *, is_encrypted: bool = False) -> Path:
    """Return a program of at least this major version: the one on the PATH, otherwise the embedded one.

    A program can't work with a server that is newer than itself. The embedded programs can't encrypt
    their connection, so they don't serve a server that is reached with TLS.

    Raises:
        BackupUnusable: There is none.
    """
    on_path = shutil.which(name)
    if on_path and _major_version_of(on_path) >= major:
        return Path(on_path)
    if major_version() >= major and not is_encrypted:
        return installed_programs() / name
    why = " over TLS" if is_encrypted and major_version() >= major else ""
    raise BackupUnusable(
        f"Working with this PostgreSQL {major} server{why} needs {name} {major} or later on the PATH. Install "
        f"PostgreSQL's client programs (postgresql-client-{major} on Debian and Ubuntu)."
    )


def _major_version_of(program: str) -> int:
    shown = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    found = _VERSION.search(shown)
    return int(found[1]) if found else 0


def connection_arguments(url: str) -> tuple[list[str], dict[str, str]]:
    """Return arguments and environment for a program to connect; the password is not an argument."""
    parameters = conninfo_to_dict(plain_url(url))
    password = parameters.pop("password", None)
    # Variables such as PGSSLROOTCERT apply to the programs as they do to Tallybook itself.
    environment = {name: value for name, value in os.environ.items() if name.startswith("PG")} | ENVIRONMENT
    environment["HOME"] = os.environ.get("HOME", "/")
    if password:
        environment["PGPASSWORD"] = str(password)
    return [f"--dbname={make_conninfo('', **parameters)}"], environment


@contextmanager
def run(
    arguments: Sequence[str], environment: dict[str, str] | None = None, stdin: BinaryIO | None = None
) -> Iterator[IO[bytes]]:
    """Run a program and yield its output. Kill it if the block ends before the program does.

    Raises:
        BackupUnusable: The program failed.
    """
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            arguments,
            env=environment or ENVIRONMENT,
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
        assert process.stdout
        try:
            yield process.stdout
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        if code:
            stderr.seek(0)
            reason = _reason(stderr.read(_STDERR_BYTES_MAX).decode(errors="replace"))
            raise BackupUnusable(f"{Path(arguments[0]).name} failed: {reason}.")


def _reason(stderr: str) -> str:
    """Return what PostgreSQL said, or the program itself."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    error = next(
        (line for line in lines if "ERROR:" in line or "FATAL:" in line),
        lines[0] if lines else "no reason given",
    )
    return re.sub(r"^.*(ERROR|FATAL|error): +", "", error).rstrip(".")
