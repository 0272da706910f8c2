"""Errors as HTTP: one table from the exception tree to status codes. `shapes` says each in a dialect's words."""

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from planogram.errors import NotFoundError, OverloadedError, PlanogramError, RequestError, TooLargeError
from planogram.serve.call import Call
from planogram.serve.shapes import Problem, shape_of
from planogram.serve.values import LateError

MAX_FIELDS = 10
MAX_NAME_CHARS = 64
# The branch of a request that may be of two kinds is no field of it.
BRANCHES = ("tei", "jina")


class MalformedError(RequestError):
    """The body is not JSON."""


class ModelNotServedError(NotFoundError):
    """A request names a model that is not served."""


class EmptyError(RequestError):
    """There is nothing to answer for."""


class MediaTypeError(RequestError):
    """The body says that it is something other than JSON."""


class SlowError(RequestError):
    """The body did not arrive in time."""


class RefusedError(RequestError):
    """The gate does not let the request in.

    Attributes:
        headers: (name, value) of the answer.
    """

    headers: tuple[tuple[str, str], ...] = ()


class UnauthorizedError(RefusedError):
    """The request has no valid key."""

    headers = (("WWW-Authenticate", "Bearer"),)


class ForbiddenError(RefusedError):
    """The request's key lacks the scope."""


class RateLimitedError(RefusedError):
    """The key has sent too many requests."""

    def __init__(self, given: str, *, retry_after_s: int) -> None:
        super().__init__(given, remedy=f"send the request again in {retry_after_s} s")
        self.headers = (("Retry-After", str(retry_after_s)),)


# The first class that an error is an instance of decides; what is in no row is the server's fault.
STATUSES: tuple[tuple[type[PlanogramError], int, str], ...] = (
    (MalformedError, 400, "malformed"),
    (MediaTypeError, 415, "media_type"),
    (SlowError, 408, "slow"),
    (UnauthorizedError, 401, "unauthorized"),
    (ForbiddenError, 403, "forbidden"),
    (RateLimitedError, 429, "rate_limited"),
    (TooLargeError, 413, "too_large"),
    (LateError, 504, "late"),
    (OverloadedError, 503, "overloaded"),
    (EmptyError, 422, "empty"),
    (RequestError, 422, "validation"),
    (ModelNotServedError, 404, "model_not_found"),
    (NotFoundError, 404, "not_found"),
)
HTTP_KINDS = {401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed"}
RETRY_AFTER_S = 1


INTERNAL = Problem(500, "internal", "the server failed to answer; its log has the reason under this request_id")


def response(problem: Problem, call: Call, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer in the words of the path's dialect; an overloaded server says when to come again."""
    call.reason = problem.kind
    shape = shape_of(call.path)
    status = shape.status(problem)
    retry = {"Retry-After": str(RETRY_AFTER_S)} if status in (429, 503) else {}
    body = shape.body(problem, call.request_id)
    return JSONResponse(body, status, {**retry, **dict(problem.headers), **(headers or {})})


def problem_of(error: Exception) -> Problem:
    """Find the problem of an error. What is not the client's stays in the log."""
    for cls, status, kind in STATUSES:
        if isinstance(error, cls):
            headers = error.headers if isinstance(error, RefusedError) else ()
            return Problem(status, kind, _one_line(error), headers=headers)
    return INTERNAL


def validation_problem(errors: Iterable[Mapping[str, Any]]) -> Problem:
    """The problem of a body that does not fit its schema: which fields, and why. Values are never repeated."""
    fields = tuple((_param(error["loc"]), str(error["msg"]).removeprefix("Value error, ")) for error in errors)
    shown = fields[:MAX_FIELDS]
    more = f" (and {len(fields) - MAX_FIELDS} more)" if len(fields) > MAX_FIELDS else ""
    return Problem(422, "validation", "; ".join(f"{param}: {message}" for param, message in shown) + more, shown)


def install(app: FastAPI) -> None:
    """Let the application answer errors as problems."""
    app.add_exception_handler(PlanogramError, _on_planogram_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_planogram_error(request: Request, error: Exception) -> JSONResponse:
    problem = problem_of(error)
    if problem is INTERNAL:
        # Let it rise to the guard, which logs it.
        raise error
    return response(problem, request.state.call)


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return response(validation_problem(error.errors()), request.state.call)


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = HTTP_KINDS.get(error.status_code, "http")
    return response(Problem(error.status_code, kind, str(error.detail)), request.state.call, error.headers)


def _one_line(error: PlanogramError) -> str:
    parts = (error.given, f"allowed: {error.allowed}" if error.allowed else "", error.remedy)
    return "; ".join(part for part in parts if part)


def _param(location: Iterable[Any]) -> str:
    # Names come from the client: bounded, and without characters that UTF-8 cannot carry.
    parts = [str(part)[:MAX_NAME_CHARS].encode("ascii", "backslashreplace").decode() for part in location]
    if len(parts) > 1 and parts[0] == "body":
        parts = parts[2:] if len(parts) > 2 and parts[1] in BRANCHES else parts[1:]
    return ".".join(parts)
