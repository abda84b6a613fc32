"""The format of a backup: a ZIP archive that anyone can open, sealed with a hash of all its bytes.

Its members, in this order:

    tallybook-backup.txt    what this is, for people
    chains.csv              each customer's last invoice number and hash
    database.dump           the output of pg_dump in its custom format, stored as it is
    manifest.json           when the backup was made, by what, and how many rows each table has

The archive's comment, which is the end of the file, is the SHA-256 of all bytes before it. So a file
that was cut off or changed anywhere is recognized before anything of it is used.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, BinaryIO

from billing_app.database.backup.errors import BackupUnusable

FORMAT = 1
_FIRST_MEMBER = "tallybook-backup.txt"
_CHAINS, _DUMP, _MANIFEST = "chains.csv", "database.dump", "manifest.json"
_SEAL_BYTES = hashlib.sha256().digest_size * 2
_CHUNK_BYTES = 1 << 20
_LOCAL_HEADER = struct.Struct("<26xHH")
_EXPLANATION = """\
This is a backup of a Tallybook database. Restore it into an empty database with

    billing restore FILE

database.dump is an archive of PostgreSQL's pg_dump in the custom format, which pg_restore reads.
"""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup contains.

    Everything that was acknowledged before `taken_at` is in it. `postgresql` is the major version of the
    server, and `rows` has the number of rows by table.
    """

    taken_at: datetime
    schema: str
    tallybook: str
    postgresql: int
    rows: dict[str, int]

    def as_json(self) -> bytes:
        """Return what the archive holds; `from_json` reads it."""
        document = dataclasses.asdict(self) | {"format": FORMAT, "taken_at": self.taken_at.isoformat()}
        return json.dumps(document, indent=2, sort_keys=True).encode()

    @classmethod
    def from_json(cls, stored: bytes) -> Manifest:
        """Read what `as_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        document = json.loads(stored)
        found = document.pop("format")
        if found != FORMAT:
            raise ValueError(f"format {found}")
        return cls(**document | {"taken_at": datetime.fromisoformat(document["taken_at"])})


class _SealedFile:
    """Writes all bytes but the last 64 to a file, which it replaces with the hash of the others."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._held = b""

    def write(self, data: bytes | memoryview) -> int:
        """Write what is certainly not the end."""
        waiting = self._held + bytes(data)
        certain, self._held = waiting[:-_SEAL_BYTES], waiting[-_SEAL_BYTES:]
        self._digest.update(certain)
        self._file.write(certain)
        return len(data)

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()

    def close(self) -> None:
        """Leave the file open: the seal is still missing."""

    def seal(self) -> None:
        """Write the hash in place of the last 64 bytes."""
        self._file.write(self._digest.hexdigest().encode())


def _new_member(name: str, compression: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, time.localtime()[:6])
    info.compress_type = compression
    info.external_attr = 0o600 << 16
    return info


class ArchiveWriter:
    """Writes the members of a backup one after the other, in bounded memory."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        archive.writestr(_new_member(_FIRST_MEMBER, zipfile.ZIP_STORED), _EXPLANATION)

    @contextmanager
    def chains(self) -> Iterator[IO[bytes]]:
        """Yield the member for the customers' last invoice numbers and hashes."""
        with self._archive.open(_new_member(_CHAINS, zipfile.ZIP_DEFLATED), "w", force_zip64=True) as member:
            yield member

    @contextmanager
    def dump(self) -> Iterator[IO[bytes]]:
        """Yield the member for pg_dump's output."""
        with self._archive.open(_new_member(_DUMP, zipfile.ZIP_STORED), "w", force_zip64=True) as member:
            yield member

    def manifest(self, manifest: Manifest) -> None:
        """Write the manifest."""
        self._archive.writestr(_new_member(_MANIFEST, zipfile.ZIP_STORED), manifest.as_json())


@contextmanager
def write_archive(file: BinaryIO) -> Iterator[ArchiveWriter]:
    """Yield a writer for an archive, which is sealed when the block ends."""
    sealed = _SealedFile(file)
    with zipfile.ZipFile(sealed, "w") as archive:
        archive.comment = b"0" * _SEAL_BYTES  # Room for the seal.
        yield ArchiveWriter(archive)
    sealed.seal()


@dataclass(frozen=True, slots=True)
class Archive:
    """A backup that was read to its end and found undamaged."""

    file: BinaryIO
    manifest: Manifest
    _members: zipfile.ZipFile

    @contextmanager
    def chains(self) -> Iterator[IO[bytes]]:
        """Yield chains.csv."""
        with self._members.open(_CHAINS) as member:
            yield member

    def dump_offset(self) -> int:
        """Return where pg_dump's output starts in the file."""
        start = self._members.getinfo(_DUMP).header_offset
        self.file.seek(start)
        name_bytes, extra_bytes = _LOCAL_HEADER.unpack(self.file.read(_LOCAL_HEADER.size))
        return int(start + _LOCAL_HEADER.size + name_bytes + extra_bytes)


@contextmanager
def open_archive(
    path: Path, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[Archive]:
    """Yield a backup after reading all of it. `on_progress` gets the bytes read and their total.

    Raises:
        BackupUnusable: The file can't be read, is no backup, or is damaged.
    """
    try:
        with path.open("rb") as file:
            _check_first_member(file, path)
            _check_seal(file, path, on_progress)
            with zipfile.ZipFile(file) as members:
                yield Archive(file, _read_manifest(members, path), members)
    except OSError as error:
        raise BackupUnusable(f"{path} can't be read: {error.strerror or error}.") from error


def _check_first_member(file: BinaryIO, path: Path) -> None:
    head = file.read(_LOCAL_HEADER.size + len(_FIRST_MEMBER))
    if not head.endswith(_FIRST_MEMBER.encode()) or not head.startswith(b"PK\x03\x04"):
        raise BackupUnusable(f"{path} is not a backup that `billing backup` created. Nothing was changed.")


def _check_seal(file: BinaryIO, path: Path, on_progress: Callable[[int, int], None]) -> None:
    total = os.fstat(file.fileno()).st_size
    digest, remaining = hashlib.sha256(), total - _SEAL_BYTES
    file.seek(0)
    while remaining > 0 and (chunk := file.read(min(remaining, _CHUNK_BYTES))):
        digest.update(chunk)
        remaining -= len(chunk)
        on_progress(total - remaining, total)
    if file.read() != digest.hexdigest().encode():
        raise BackupUnusable(
            f"{path} is damaged: it is incomplete, or was changed after it was created. Nothing was changed. "
            "Use another copy or another backup."
        )
    file.seek(0)


def _read_manifest(members: zipfile.ZipFile, path: Path) -> Manifest:
    try:
        return Manifest.from_json(members.read(_MANIFEST))
    except (KeyError, TypeError, ValueError) as error:
        raise BackupUnusable(
            f"{path} has a format that this version of Tallybook can't read ({error}). Restore it with the version "
            "that created it. Nothing was changed."
        ) from error
