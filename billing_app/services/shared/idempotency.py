"""Returning the first response to a repeated request with an `Idempotency-Key`.

The response is stored in the transaction that does the work, so either both exist or neither. Of two
concurrent requests with the same key, the second waits and gets the first one's response.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, text
from sqlmodel import Session, col, delete, select

from billing_app.database import locks
from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.errors import Conflict
from billing_app.models import IdempotentRequest
from billing_app.services.shared.permissions import require

KEPT_FOR = timedelta(hours=24)
# Each stored response deletes a few expired ones, so the table stays small without a cleanup job.
_DELETED_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class RequestKey:
    """An idempotency key and the request that it was sent with.

    `operation` is the method and path; `fingerprint` identifies the operation and the body.
    """

    key: str
    operation: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The HTTP status, `Location` and JSON body of an answer. The body holds no secret."""

    status: int
    location: str
    body: dict[str, Any]


def find_answer(
    session: Session, actor: Actor, request: RequestKey, *, permission: Permission
) -> Answer | None:
    """Return the answer to the actor's first request with this key, or None when this is the first one.

    Holds the key until the transaction ends. Raises Forbidden without the permission that the request
    needs, and Conflict (`idempotency_conflict`) when the first request was a different one.
    """
    require(actor, permission)
    lock_key = session.scalar(select(func.hashtext(f"{actor.id} {request.key}")))
    session.execute(
        text("SELECT pg_advisory_xact_lock(:lock, :key)"), {"lock": locks.IDEMPOTENCY_KEY, "key": lock_key}
    )
    stored = session.get(IdempotentRequest, (actor.id, request.key))
    if stored is None:
        return None
    if stored.fingerprint != request.fingerprint:
        raise Conflict("idempotency_conflict", operation=stored.operation)
    return Answer(stored.status, stored.location, stored.answer)


def store_answer(session: Session, actor: Actor, request: RequestKey, answer: Answer) -> None:
    """Store the answer to the actor's first request with this key for at least `KEPT_FOR`."""
    _delete_expired(session)
    session.add(
        IdempotentRequest(
            actor_id=actor.id,
            idempotency_key=request.key,
            operation=request.operation,
            fingerprint=request.fingerprint,
            status=answer.status,
            location=answer.location,
            answer=answer.body,
            created_at=now(session),
        )
    )
    session.flush()


def _delete_expired(session: Session) -> None:
    expired = (
        select(IdempotentRequest.actor_id, IdempotentRequest.idempotency_key)
        .where(col(IdempotentRequest.created_at) < now(session) - KEPT_FOR)
        .order_by(col(IdempotentRequest.created_at))
        .limit(_DELETED_AT_ONCE)
        # Rows that a concurrent request is deleting are skipped.
        .with_for_update(skip_locked=True)
    )
    for actor_id, key in session.exec(expired).all():
        session.execute(
            delete(IdempotentRequest).where(
                col(IdempotentRequest.actor_id) == actor_id,
                col(IdempotentRequest.idempotency_key) == key,
            )
        )
