"""The contents of usage files, stored in the database until the import has ended."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from sqlalchemy import insert, select, update
from sqlmodel import Session, col

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.errors import Invalid
from billing_app.models import UsageImport, UsageImportPart
from billing_app.models.imports import PART_BYTES_MAX
from billing_app.services.shared import audit, validation
from billing_app.services.shared.permissions import require
from billing_app.services.usage_imports.imports import hide_other_imports
from billing_app.services.usage_imports.queries import get_row
from billing_app.services.usage_imports.rows import PERMISSIONS, ImportSuperseded, Kind, UsageImportRow

FILE_BYTES_MAX = 1024 * 1024 * 1024
FILE_NAME_MAX = 255


def store_file(
    session: Session, actor: Actor, file_name: str, pieces: Iterable[bytes], *, kind: Kind = "usage"
) -> UsageImportRow:
    """Store a file as a new import to be checked: all of it, or nothing if `pieces` raises.

    Keeps about one part of the file in memory. Raises Invalid for a file over 1 GiB.
    """
    require(actor, PERMISSIONS[kind])
    name = validation.line("file_name", file_name, at_most=FILE_NAME_MAX)
    import_id = _insert_import(session, actor, name, kind)
    size, content = 0, hashlib.sha256()
    for number, part in enumerate(_split_into_parts(pieces)):
        size += len(part)
        if size > FILE_BYTES_MAX:
            raise Invalid("file", "file_too_large", at_most=FILE_BYTES_MAX)
        content.update(part)
        session.execute(insert(UsageImportPart).values(import_id=import_id, part_number=number, content=part))
    session.execute(
        update(UsageImport)
        .where(col(UsageImport.import_id) == import_id)
        .values(size_bytes=size, sha256=content.hexdigest())
    )
    row = get_row(session, import_id)
    audit.record(session, actor, "usage_import.uploaded", row.public_id, file_name=name, size_bytes=size)
    return hide_other_imports(row, actor)


def _insert_import(session: Session, actor: Actor, file_name: str, kind: Kind) -> int:
    usage_import = UsageImport(
        kind=kind,
        file_name=file_name,
        size_bytes=0,
        sha256="",
        uploaded_by=actor.id,
        uploaded_at=now(session),
    )
    session.add(usage_import)
    session.flush()
    assert usage_import.import_id is not None
    return usage_import.import_id


def _split_into_parts(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in parts of PART_BYTES_MAX, the last of which may be smaller."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) >= PART_BYTES_MAX:
            yield bytes(buffer[:PART_BYTES_MAX])
            del buffer[:PART_BYTES_MAX]
    if buffer:
        yield bytes(buffer)


def read_part(session: Session, actor: Actor, import_id: int, number: int) -> bytes:
    """Return one part of a file. Raises ImportSuperseded if its import has ended and the file is deleted."""
    require(actor, Permission.RECORD_USAGE)
    part: bytes | None = session.scalar(
        select(col(UsageImportPart.content)).where(
            col(UsageImportPart.import_id) == import_id, col(UsageImportPart.part_number) == number
        )
    )
    if part is None:
        raise ImportSuperseded
    return part
