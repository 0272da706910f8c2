"""Every route is asked what its OpenAPI document says, and the opposite of it: answers keep to the document."""

from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings

from planogram.serve.settings import RouteName
from planogram.serve.web import create_app

from .conftest import FakeBackend, app_args

ROUTES = [
    "GET /healthz",
    "GET /readyz",
    "GET /v1/models",
    "POST /search",
    "POST /recommend",
    "POST /ingest/products",
    "POST /v1/rerank",
    "POST /v2/rerank",
    "POST /rerank",
    "POST /v1/score",
    "POST /v1/embeddings",
    "POST /price",
    "GET /admin/prices",
    "POST /admin/prices",
]
FIXED = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture(scope="module")
def operations(tmp_path_factory):
    """`METHOD /path` -> what Schemathesis knows of it."""
    # It takes long to import, and its own fixtures do not work with this version of pytest.
    import schemathesis

    folder = tmp_path_factory.mktemp("prices")
    pricing = {"demand": "fake-demand", "audit": str(folder / "audit.jsonl"), "kill_switch": str(folder / "STOP")}
    args = app_args(routes=get_args(RouteName), pricing=pricing)
    api = schemathesis.openapi.from_asgi("/openapi.json", create_app(FakeBackend(), args))
    return {operation.label: operation for operation in (found.ok() for found in api.get_all_operations())}


def test_no_route_is_left_out(operations):
    assert sorted(operations) == sorted(ROUTES)


@pytest.mark.parametrize("route", ROUTES)
def test_what_fits_the_document_gets_an_answer_of_the_document(operations, route):
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    kept = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]

    statuses = set()

    @FIXED
    @given(case=operations[route].as_strategy())
    def ask(case):
        # A schema cannot say which model is served, or that price_min is not above price_max: 4xx is an answer too.
        statuses.add(case.call_and_validate(checks=kept).status_code)

    ask()
    assert 200 in statuses


@pytest.mark.parametrize("route", [route for route in ROUTES if route.startswith("POST")])
def test_what_does_not_fit_the_document_is_refused(operations, route):
    from schemathesis import GenerationMode

    @FIXED
    @given(case=operations[route].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def ask(case):
        assert 400 <= case.call_and_validate().status_code < 500

    ask()
