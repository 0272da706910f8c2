"""An error in the words of the server that the client was written for: which path has which shape, and what it says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel


@dataclass(frozen=True)
class Problem:
    """An error as its client sees it.

    Attributes:
        kind: a word for programs.
        fields: (path in the request, what is wrong there).
        headers: (name, value) of the answer.
    """

    status: int
    kind: str
    message: str
    fields: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


class FieldError(BaseModel):
    """What is wrong with one field."""

    param: str
    message: str


class ErrorDetail(BaseModel):
    """What went wrong. `param` and `details` name the fields of an invalid body."""

    type: str
    message: str
    param: str | None = None
    details: list[FieldError] | None = None


class ErrorResponse(BaseModel):
    """An error of Planogram's own routes and of Jina's."""

    error: ErrorDetail
    request_id: str


class CohereError(BaseModel):
    """An error of Cohere's API."""

    id: str
    message: str


TeiErrorType = Literal["unhealthy", "backend", "overloaded", "validation", "tokenizer", "empty"]


class TeiError(BaseModel):
    """An error of Text Embeddings Inference."""

    error: str
    error_type: TeiErrorType


class OpenAIErrorDetail(BaseModel):
    """What went wrong; `code` is the word for programs."""

    message: str
    type: str
    # With defaults, since FastAPI leaves what is null out of the examples that it documents.
    param: str | None = None
    code: str | None = None


class OpenAIError(BaseModel):
    """An error of OpenAI's API, and of vLLM."""

    error: OpenAIErrorDetail


@dataclass(frozen=True)
class Shape:
    """How a dialect tells errors.

    Attributes:
        model: of the body.
        write: (problem, request id) -> the body.
        statuses: kind of problem -> status, where the dialect has another one than Planogram.
    """

    model: type[BaseModel]
    write: Callable[[Problem, str], BaseModel]
    statuses: Mapping[str, int] = field(default_factory=dict)

    def status(self, problem: Problem) -> int:
        """Of the answer."""
        return self.statuses.get(problem.kind, problem.status)

    def body(self, problem: Problem, request_id: str) -> dict[str, Any]:
        """Of the answer, as JSON values."""
        return self.write(problem, request_id).model_dump(mode="json", exclude_unset=True)


def _planogram(problem: Problem, request_id: str) -> ErrorResponse:
    details = [FieldError(param=param, message=message) for param, message in problem.fields]
    fields: dict[str, Any] = {"param": details[0].param, "details": details} if details else {}
    return ErrorResponse(error=ErrorDetail(type=problem.kind, message=problem.message, **fields), request_id=request_id)


def _cohere(problem: Problem, request_id: str) -> CohereError:
    return CohereError(id=request_id, message=problem.message)


TEI_TYPES: dict[str, TeiErrorType] = {
    "empty": "empty",
    "overloaded": "overloaded",
    "rate_limited": "overloaded",
    "late": "overloaded",
    "internal": "backend",
}


def _tei(problem: Problem, _: str) -> TeiError:
    return TeiError(error=problem.message, error_type=TEI_TYPES.get(problem.kind, "validation"))


OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def _openai(problem: Problem, _: str) -> OpenAIError:
    default = "server_error" if problem.status >= 500 else "invalid_request_error"
    return OpenAIError(
        error=OpenAIErrorDetail(
            message=problem.message,
            type=OPENAI_TYPES.get(problem.status, default),
            param=problem.fields[0][0] if problem.fields else None,
            code=problem.kind,
        )
    )


PLANOGRAM = Shape(ErrorResponse, _planogram)
COHERE = Shape(CohereError, _cohere)
TEI = Shape(TeiError, _tei, {"empty": 400, "overloaded": 429, "internal": 424})
OPENAI = Shape(OpenAIError, _openai, {"validation": 400, "empty": 400})
# A path that is not here answers in Planogram's own shape.
SHAPES: dict[str, Shape] = {
    "/v2/rerank": COHERE,
    "/rerank": TEI,
    "/v1/score": OPENAI,
    "/v1/embeddings": OPENAI,
    "/v1/models": OPENAI,
}


def shape_of(path: str) -> Shape:
    """The shape of errors at a path."""
    return SHAPES.get(path, PLANOGRAM)
