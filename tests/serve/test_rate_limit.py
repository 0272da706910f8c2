import pytest

from planogram.serve import web
from planogram.serve.auth import Gate, Keyring
from planogram.serve.call import Call
from planogram.serve.keys import Key, create_key
from planogram.serve.problems import RateLimitedError
from planogram.serve.rates import RateLimits, TokenBucket
from planogram.serve.settings import AuthArgs


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def key(name="a", **limits):
    return Key(name=name, scopes=("read",), digest="0" * 64, **limits)


def test_a_bucket_lets_a_burst_through_and_then_its_rate(clock):
    bucket = TokenBucket(2.0, 3, clock)
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, pytest.approx(0.5)]
    clock.now += 0.25
    assert bucket.take() == pytest.approx(0.25)
    clock.now += 0.25
    assert bucket.take() == 0
    clock.now += 3600
    assert [bucket.take() == 0 for _ in range(4)] == [True, True, True, False]


def test_the_rate_holds_over_a_long_time(clock):
    bucket = TokenBucket(5.0, 1, clock)
    passed = 0
    for _ in range(10_000):
        clock.now += 0.01
        passed += bucket.take() == 0
    assert passed == pytest.approx(500, abs=2)


def test_a_refused_request_costs_nothing(clock):
    bucket = TokenBucket(1.0, 1, clock)
    bucket.take()
    assert all(bucket.take() > 0 for _ in range(100))
    clock.now += 1
    assert bucket.take() == 0


def test_without_a_limit_there_is_none(clock):
    limits = RateLimits(AuthArgs(), clock)
    assert not any(limits.take(key()) for _ in range(1000))


def test_keys_do_not_share(clock):
    limits = RateLimits(AuthArgs(requests_per_s=1.0), clock)
    assert [limits.take(key("a")), limits.take(key("a")), limits.take(key("b"))] == [0, 1, 0]


@pytest.mark.parametrize(
    ("args", "own", "at_once"),
    [
        ({"requests_per_s": 0.1}, {}, 1),
        ({"requests_per_s": 2.5}, {}, 3),
        ({"requests_per_s": 2.5, "burst": 7}, {}, 7),
        ({"requests_per_s": 2.5, "burst": 7}, {"burst": 2}, 2),
        ({"requests_per_s": 2.5}, {"requests_per_s": 5.0}, 5),
        ({}, {"requests_per_s": 4.0}, 4),
    ],
)
def test_a_keys_own_limit_wins(clock, args, own, at_once):
    limits = RateLimits(AuthArgs(**args), clock)
    assert [limits.take(key(**own)) == 0 for _ in range(at_once + 1)] == [True] * at_once + [False]


def test_a_changed_limit_holds_at_once(clock):
    limits = RateLimits(AuthArgs(), clock)
    assert [limits.take(key(requests_per_s=1.0)) for _ in range(2)] == [0, 1]
    assert limits.take(key(requests_per_s=50.0)) == 0


def test_what_takes_more_than_a_burst_passes_and_is_owed(clock):
    bucket = TokenBucket(10.0, 10, clock)
    assert bucket.take(50) == 0
    assert bucket.take() == pytest.approx(4.1)
    clock.now += 4.1
    assert [bucket.take(), bucket.take()] == [0, pytest.approx(0.1)]


def test_documents_have_a_budget_of_their_own(clock):
    limits = RateLimits(AuthArgs(documents_per_s=1.0), clock)
    budget = limits.budget(key(documents_per_s=4.0))
    budget.take(10)
    with pytest.raises(RateLimitedError, match="documents") as refused:
        limits.budget(key(documents_per_s=4.0)).take(1)
    assert refused.value.headers == (("Retry-After", "2"),)
    assert limits.take(key()) == 0
    clock.now += 2
    budget.take(1)
    assert RateLimits(AuthArgs(), clock).budget(key()) is None


def admit(gate, secret, path="/v1/rerank"):
    call = Call.begin(None)
    headers = [(b"x-api-key", secret.encode())]
    gate.admit({"type": "http", "path": path, "method": "POST", "headers": headers}, call)
    return call


def test_what_a_request_has_ranked_is_charged_to_its_key(tmp_path, clock):
    path = str(tmp_path / "keys.json")
    args = AuthArgs(keys_file=path)
    few = create_key(path, "few", ["read", "ingest"], documents_per_s=1.0)
    many = create_key(path, "many", ["read"])
    gate = Gate(Keyring(args, clock), args, clock)
    call = admit(gate, few)
    call.charge(5)
    with pytest.raises(RateLimitedError):
        call.charge(1)
    with pytest.raises(RateLimitedError, match="documents"):
        admit(gate, few).charge(0)
    admit(gate, few, "/ingest/products").charge(1)
    admit(gate, many).charge(5)
    admit(gate, many).charge(5)
    clock.now += 5
    admit(gate, few).charge(1)


def test_a_key_that_owes_is_refused_before_anything_is_looked_for(make_client, tmp_path, monkeypatch, clock):
    path = str(tmp_path / "keys.json")
    secret = create_key(path, "shop", ["read"], documents_per_s=2.0)
    args = AuthArgs(keys_file=path)
    gate = Gate(Keyring(args, clock), args, clock)
    monkeypatch.setattr(web, "gate_of", lambda _: gate)
    client = make_client(auth={"keys_file": path})

    def status():
        body = {"query": "red", "documents": ["a"]}
        return client.post("/v1/rerank", json=body, headers={"X-API-Key": secret}).status_code

    assert status() == 200
    admit(gate, secret).charge(6)
    assert status() == 429
    assert client.get("/v1/models", headers={"X-API-Key": secret}).status_code == 200
    clock.now += 3
    assert status() == 200


@pytest.mark.parametrize(("rate", "seconds"), [(1.0, "1"), (0.3, "4"), (20.0, "1")])
def test_429_says_when_to_come_again(make_client, tmp_path, monkeypatch, clock, rate, seconds):
    path = str(tmp_path / "keys.json")
    secret = create_key(path, "shop", ["read"])
    monkeypatch.setattr(web, "gate_of", lambda args: Gate(Keyring(args, clock), args, clock))
    client = make_client(auth={"keys_file": path, "requests_per_s": rate, "burst": 2})
    headers = {"Authorization": f"Bearer {secret}"}
    assert [client.get("/v1/models", headers=headers).status_code for _ in range(3)] == [200, 200, 429]
    refused = client.get("/v1/models", headers=headers)
    assert refused.headers["retry-after"] == seconds
    assert refused.json()["error"]["code"] == "rate_limited"
    assert f"in {seconds} s" in refused.json()["error"]["message"]
    assert client.get("/healthz").status_code == 200
    clock.now += int(seconds)
    assert client.get("/v1/models", headers=headers).status_code == 200


def test_without_keys_nothing_is_limited(make_client):
    client = make_client(auth={"requests_per_s": 0.001})
    assert {client.get("/v1/models").status_code for _ in range(20)} == {200}
