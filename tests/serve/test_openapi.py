"""The OpenAPI document is one, and what it shows as examples is what the server takes and gives."""

import jsonschema
import pytest
from openapi_spec_validator import validate

METHODS = ("get", "post")


@pytest.fixture
def spec(client):
    return client.get("/openapi.json").json()


def contents(spec):
    """(place, schema, examples) of each request and response."""
    for path, item in spec["paths"].items():
        for method in METHODS:
            operation = item.get(method, {})
            answers = {f"{status}": answer for status, answer in operation.get("responses", {}).items()}
            for place, part in {"request": operation.get("requestBody", {}), **answers}.items():
                for media in part.get("content", {}).values():
                    yield f"{method} {path} {place}", media["schema"], list(examples(spec, media))


def examples(spec, media):
    """Those beside the schema, and those of the models that it names."""
    yield from ([media["example"]] if "example" in media else [])
    yield from (example["value"] for example in media.get("examples", {}).values())
    schema = media["schema"]
    for part in (schema, *schema.get("oneOf", ()), *schema.get("anyOf", ())):
        model = part.get("$ref", "").removeprefix("#/components/schemas/")
        yield from spec["components"]["schemas"].get(model, part).get("examples", ())


def test_the_document_is_valid(spec):
    validate(spec)


def test_every_example_fits_its_schema(spec):
    shown = 0
    for place, schema, found in contents(spec):
        for example in found:
            resolved = {**schema, "components": spec["components"]}
            error = next(jsonschema.Draft202012Validator(resolved).iter_errors(example), None)
            assert error is None, f"{place}: {error}"
            shown += 1
    assert shown > 50


def test_every_request_has_an_example_that_is_answered(client, spec):
    asked = 0
    for place, _, found in contents(spec):
        method, path, part = place.split(" ")
        if part == "request":
            assert found, f"{place} has no example"
        for example in found if part == "request" else ():
            served = {"model": "fake-embedder" if path == "/v1/embeddings" else "fake"} if "model" in example else {}
            response = client.request(method, path, json={**example, **served})
            assert response.status_code == 200, f"{place}: {response.text}"
            asked += 1
    assert asked >= 7


def test_every_body_is_typed(spec):
    for place, schema, _ in contents(spec):
        if not place.endswith(("/healthz 200", "/readyz 200", "/v1/models 200")):
            assert "$ref" in str(schema), f"{place}: {schema}"


def test_every_post_says_how_it_fails(spec):
    for path, item in spec["paths"].items():
        if "post" in item:
            answers = item["post"]["responses"]
            assert {"200", "400", "408", "413", "415", "504"} <= set(answers) and {"422", "4XX"} & set(answers), path
            assert {"503", "429"} & set(answers), path
