"""What the OpenAPI document says of errors: each in the shape of its path."""

from typing import Any

from planogram.serve.problems import INTERNAL, validation_problem
from planogram.serve.shapes import Problem, shape_of

REQUEST_ID = "b7e0c6f0b7d94b0f9a4c0f9c6f5a7b31"
MODEL_NOT_SERVED = Problem(
    404, "model_not_found", "model 'other' is not served; allowed: shop-ranker, shop-ranker:3; name one of these"
)


def documented_errors(path: str = "", *more: Problem) -> dict[int | str, dict[str, Any]]:
    """What FastAPI's `responses` say of a route's errors: model and examples per status, in the path's shape.

    Args:
        path: of the route.
        more: errors beside those that every route has.
    """
    shape = shape_of(path)
    documented: dict[int | str, dict[str, Any]] = {}
    for problem in (
        Problem(400, "malformed", "the body is not valid JSON: Expecting value at character 0"),
        Problem(401, "unauthorized", "the request has no key; send the header Authorization: Bearer KEY"),
        Problem(403, "forbidden", "the key lacks the scope read"),
        Problem(408, "slow", "the body did not arrive within 10 s; send it at once"),
        Problem(413, "too_large", "the body is longer than 262144 bytes"),
        Problem(415, "media_type", "Content-Type is not JSON; allowed: application/json; set the header"),
        Problem(429, "rate_limited", "the key has sent too many requests; send the request again in 2 s"),
        validation_problem([{"loc": ("body", "query"), "msg": "Field required"}]),
        INTERNAL,
        Problem(503, "overloaded", "the ranker has too many requests"),
        Problem(504, "late", "no answer within 10 s"),
        *more,
    ):
        entry = documented.setdefault(
            shape.status(problem),
            {"model": shape.model, "description": problem.kind, "content": {"application/json": {"examples": {}}}},
        )
        examples = entry["content"]["application/json"]["examples"]
        examples[problem.kind] = {"value": shape.body(problem, REQUEST_ID)}
    # FastAPI would add a 422 of its own shape to a route that answers an invalid body by another status.
    return documented if 422 in documented else {**documented, "4XX": {"model": shape.model, "description": "other"}}
