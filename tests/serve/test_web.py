def test_openapi_names_routes_limits_and_errors(client):
    spec = client.get("/openapi.json").json()
    assert set(spec["paths"]) == {
        "/search",
        "/v1/rerank",
        "/v2/rerank",
        "/rerank",
        "/v1/score",
        "/v1/embeddings",
        "/v1/models",
        "/healthz",
        "/readyz",
    }
    search = spec["paths"]["/search"]["post"]
    assert {"200", "400", "413", "422", "503"} <= set(search["responses"])
    assert spec["components"]["schemas"]["SearchRequest"]["properties"]["top_k"]["maximum"] == 200
    assert client.get("/docs").status_code == 200


def test_importing_the_application_starts_nothing():
    import subprocess
    import sys

    code = "import sys, planogram.serve.app, planogram.serve.launch; assert 'ray' not in sys.modules, 'ray'"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
