"""Whether the server is alive and ready, for load balancers, orchestrators and people."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from billing_app.api.wire.routing import ExactRoute
from billing_app.database.migrations import SchemaState
from billing_app.database.outages import Outage
from billing_app.database.probe import DatabaseProbe, State
from billing_app.runtime import Runtime, current


class Health(BaseModel):
    """Whether the server can work."""

    status: Literal["ok", "failing"]
    database: Literal["ok", "unreachable"]
    migrations: Literal["ok", "behind", "ahead", "unknown"] = Field(
        description="`behind`: the schema is older than the server. `ahead`: the schema is newer."
    )
    detail: str | None = Field(description="What is wrong, or null when the status is `ok`.")


class Readiness(BaseModel):
    """Whether to send requests to this server."""

    status: Literal["ready", "not_ready"]
    detail: str | None = Field(description="Why it is not ready, or null.")


class Liveness(BaseModel):
    """The server's process answers."""

    status: Literal["alive"] = "alive"


_OUTAGES = {
    Outage.STARTING: "The database server is starting or recovering.",
    Outage.DISK_FULL: "The database server is not running because its disk is full.",
    Outage.NOT_RUNNING: "The database server is not running or can't be reached.",
    Outage.REFUSING: "The database server refuses the connection.",
    Outage.NOT_ANSWERING: "The database server accepts connections but does not answer.",
}
_SCHEMAS = {
    SchemaState.BEHIND: "The database's schema is older than this server. Run `billing migrate`.",
    SchemaState.UNKNOWN_REVISION: "The database's schema is newer than this server. Upgrade the server.",
}
_QUEUE_FULL = "More usage events are waiting than the server can record soon."
_STOPPING = "The server is stopping."


class _Asking:
    """Asks the database of the current runtime, by the same probe every time."""

    def __init__(self) -> None:
        self._probes: dict[str, DatabaseProbe] = {}

    async def __call__(self) -> State:
        """Return the state of the schema, or why the database can't be reached."""
        database, settings = current().database, current().settings
        if database.url not in self._probes:
            self._probes[database.url] = DatabaseProbe(database.url, settings.data_dir)
        return await self._probes[database.url].state()


def health_router() -> APIRouter:
    """Create the three health checks. They need no token, say nothing secret, and cost next to nothing."""
    router = APIRouter(prefix="/health", tags=["Health"], route_class=ExactRoute)
    ask_database = _Asking()

    @router.get("", responses={503: {"model": Health, "description": "The database is not usable."}})
    async def health(response: Response) -> Health:
        """Check the health of the server: 200, or 503 if the database is unreachable or its schema outdated."""
        found = _judge_health(await ask_database())
        response.status_code = 200 if found.status == "ok" else 503
        return found

    @router.get("/live")
    async def live() -> Liveness:
        """Check that the server's process answers.

        It is 200 even if the database can't be reached. Restart a server that does not answer this.
        """
        return Liveness()

    @router.get("/ready", responses={503: {"model": Readiness, "description": "The server is not ready."}})
    async def ready(response: Response) -> Readiness:
        """Check that the server can take requests.

        It is 503 while the database can't be reached or has the wrong schema, while too many usage events
        are waiting to be recorded, and while the server is stopping.
        """
        detail = _find_obstacle(current()) or _judge_health(await ask_database()).detail
        if detail is None:
            return Readiness(status="ready", detail=None)
        response.status_code = 503
        return Readiness(status="not_ready", detail=detail)

    return router


def _judge_health(state: State) -> Health:
    if isinstance(state, Outage):
        return Health(status="failing", database="unreachable", migrations="unknown", detail=_OUTAGES[state])
    status: Literal["ok", "failing"] = "ok" if state is SchemaState.CURRENT else "failing"
    return Health(status=status, database="ok", migrations=state.value, detail=_SCHEMAS.get(state))


def _find_obstacle(runtime: Runtime) -> str | None:
    """Return why the process itself takes no requests, or None if it does."""
    if runtime.is_stopping:
        return _STOPPING
    return _QUEUE_FULL if runtime.metrics.is_queue_full() else None
