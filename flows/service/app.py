"""Which answers can a program get at once? A FastAPI application over the functions of the flows, for loopback.

What takes long, or is to be kept, is a run of a deployment: deployments/HTTP.md.
"""

from importlib.metadata import version
from typing import Any, Literal, Protocol, get_args

from anyio import to_thread
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel, TypeAdapter
from starlette.exceptions import HTTPException

from data.jsonschema import schema_text
from data.schemas.transfers import RoundSchedule
from flows.service.door import Door, response
from flows.service.forms import (
    Health,
    PlanAnswer,
    PlanForm,
    RoundsForm,
    SnapshotAnswer,
    SnapshotForm,
    TokensAnswer,
    TokensForm,
    Version,
)
from flows.service.refusals import Answer, Refusal, refusal

MAX_BYTES = 16 << 20
BODY_S = 10.0
SchemaName = Literal["snapshot", "plan", "rounds", "fleet", "fleet_plan"]

_HEALTH = TypeAdapter(Health)
_VERSION = TypeAdapter(Version)

REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Refusal, "description": "A token is asked for, and this is not it"},
    403: {"model": Refusal, "description": "Sent by a web page"},
    421: {"model": Refusal, "description": "The Host is no name of loopback"},
}
BODY_REFUSALS: dict[int | str, dict[str, Any]] = {
    **REFUSALS,
    400: {"model": Refusal, "description": "Not JSON, or beyond its limits"},
    408: {"model": Refusal, "description": "The body did not arrive in time"},
    413: {"model": Refusal, "description": "More bytes, or more memory, than there is room for"},
    415: {"model": Refusal, "description": "Not application/json in UTF-8, uncompressed"},
    422: {"model": Refusal, "description": "What the readers found wrong, each with its place"},
    429: {"model": Refusal, "description": "All workers are busy: try again"},
    503: {"model": Refusal, "description": "Took too long, or the worker was lost"},
}


class Answers(Protocol):
    """Who answers bodies: :class:`flows.service.workers.Workers`, or in tests this very process."""

    count: int

    @property
    def free(self) -> int:
        """How many bodies could be taken now."""

    def __call__(self, kind: str, body: bytes) -> Answer:
        """Return the answer to a body."""


def application(
    answers: Answers, *, token: str | None = None, max_bytes: int = MAX_BYTES, body_s: float = BODY_S
) -> FastAPI:
    """Return the application.

    Args:
        answers: who answers bodies.
        token: that every request must bear; None asks for none.
        max_bytes: of a body.
        body_s: seconds in which a body must have arrived.
    """
    app = FastAPI(
        title="QuantumFlow",
        summary="Answers at once, on loopback; whatever takes long is a run of a deployment",
        version=version("quantumflow"),
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[] if token is None else [Depends(HTTPBearer(auto_error=False))],  # the door checks it
    )
    app.add_middleware(Door, token=token, max_bytes=max_bytes, body_s=body_s)
    app.add_exception_handler(HTTPException, _told)
    app.add_exception_handler(RequestValidationError, _no_such)

    @app.get("/health", responses={421: REFUSALS[421], 403: REFUSALS[403]}, response_model=Health)
    def health() -> Response:
        """Say that the service answers."""
        free = answers.free
        return response(Answer(200, _HEALTH.dump_json(Health("ok" if free else "busy", answers.count, free))))

    @app.get("/v1/version", responses=REFUSALS, response_model=Version)
    def versions() -> Response:
        """Say what answers here, and which formats it reads and writes."""
        formats = ("snapshot", "plan", "quantumflow-rounds-1")
        return response(Answer(200, _VERSION.dump_json(Version(version("quantumflow"), formats))))

    @app.get("/v1/schemas/{name}", responses={**REFUSALS, 422: BODY_REFUSALS[422]}, response_model=dict[str, Any])
    def schema(name: SchemaName) -> Response:
        """Return the JSON schema of one of the formats."""
        return response(Answer(200, schema_text(name).encode()))

    def ask(path: str, kind: str, form: type[BaseModel], answer: Any, summary: str) -> None:
        async def asked(request: Request) -> Response:
            told = await to_thread.run_sync(answers, kind, await request.body())
            return response(told, {"retry-after": "1"} if told.status == 429 else None)

        body = {"required": True, "content": {"application/json": {"schema": form.model_json_schema()}}}
        app.post(
            path, name=kind, summary=summary, description=form.__doc__, response_model=answer,
            responses=BODY_REFUSALS, openapi_extra={"requestBody": body},
        )(asked)  # fmt: skip

    ask("/v1/tokens/route", "tokens", TokensForm, TokensAnswer, "Send each token of a stream to an expert.")
    ask("/v1/plans/verify", "plan", PlanForm, PlanAnswer, "Check a plan from scratch against its snapshot.")
    ask("/v1/snapshots/check", "snapshot", SnapshotForm, SnapshotAnswer, "List every problem of a snapshot.")
    ask("/v1/transfers/schedule", "rounds", RoundsForm, RoundSchedule, "Schedule messages in rounds.")
    return app


async def _told(_request: Request, error: Exception) -> Response:
    """Answer what no route answers in the form of every other refusal."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = str(error.detail) if isinstance(error, HTTPException) else ""
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    return response(refusal(status, detail.replace(" ", "") or "Refused", f"{detail}: see /openapi.json"), headers)


async def _no_such(_request: Request, _error: Exception) -> Response:
    """Answer a path whose end is none of those that there are."""
    return response(refusal(422, "NoSuchFormat", f"expected one of {', '.join(get_args(SchemaName))}"))
