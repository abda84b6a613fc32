"""The bytes of usage files, in the database until their import has ended."""

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
from billing_app.services.usage_imports.imports import Overtaken, UsageImportRow, row_of_import

FILE_BYTES_MAX = 1024 * 1024 * 1024
FILE_NAME_MAX = 255


def store_file(session: Session, actor: Actor, file_name: str, pieces: Iterable[bytes]) -> UsageImportRow:
    """A new import, to be checked, with all of the file; when `pieces` raises, with nothing of it.

    About a part of the file is in memory at any time. Raises Invalid for a file over 1 GiB.
    """
    require(actor, Permission.RECORD_USAGE)
    name = validation.line("file_name", file_name, at_most=FILE_NAME_MAX)
    import_id = _new_import(session, actor, name)
    size, content = 0, hashlib.sha256()
    for number, part in enumerate(_parts(pieces)):
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
    stored = row_of_import(session, import_id)
    audit.record(session, actor, "usage_import.uploaded", stored.public_id, file_name=name, size_bytes=size)
    return stored


def _new_import(session: Session, actor: Actor, file_name: str) -> int:
    made = UsageImport(
        file_name=file_name, size_bytes=0, sha256="", started_by=actor.id, started_at=now(session)
    )
    session.add(made)
    session.flush()
    assert made.import_id is not None
    return made.import_id


def _parts(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in parts of the one size that they are kept in; the last may be smaller."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= PART_BYTES_MAX:
            yield bytes(waiting[:PART_BYTES_MAX])
            del waiting[:PART_BYTES_MAX]
    if waiting:
        yield bytes(waiting)


def read_part(session: Session, actor: Actor, import_id: int, number: int) -> bytes:
    """One part of a file whose import has not ended. Raises Overtaken when it has."""
    require(actor, Permission.RECORD_USAGE)
    part: bytes | None = session.scalar(
        select(col(UsageImportPart.content)).where(
            col(UsageImportPart.import_id) == import_id, col(UsageImportPart.part_number) == number
        )
    )
    if part is None:
        raise Overtaken
    return part
