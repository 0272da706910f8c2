"""What comes next in a history, from a bundle to /recommend."""

import asyncio
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from planogram import storage
from planogram.config import SequenceConfig
from planogram.engines.sequence import ARCHITECTURE, ITEMS, TABLES
from planogram.errors import ConfigError
from planogram.models.sequence import ItemTables, SequenceModel
from planogram.registry.bundle import WEIGHTS, BundleManifest, write_bundle
from planogram.serve import retriever as module
from planogram.serve.app import build
from planogram.serve.resolve import resolve_sequencer
from planogram.serve.retriever import Retriever
from planogram.serve.sequencer import Sequencer
from planogram.serve.settings import AppArgs, RetrieverArgs
from planogram.serve.values import FailedError, Filters, LateError

from .conftest import MODEL

# After a comes b (6 times), c (3) and gone (2); after b comes c (4).
CATALOGUE = ["a", "b", "c", "d", "gone"]
AFTER = {"a": {"b": 6.0, "c": 3.0, "gone": 2.0}, "b": {"c": 4.0}}
SEQUENCER = replace(MODEL, name="fake-sequencer", version=1, digest="5" * 16, heads=())


def write_sequence(folder, vectors=0.0):
    """A bundle whose transformer says nothing, so that its counts decide."""
    places = {name: place for place, name in enumerate(CATALOGUE)}
    counts = [(places[name], count) for item in CATALOGUE for name, count in AFTER.get(item, {}).items()]
    lengths = [len(AFTER.get(item, {})) for item in CATALOGUE]
    tables = ItemTables(
        len(CATALOGUE),
        torch.zeros(len(CATALOGUE), 0),
        torch.tensor([0, *lengths]).cumsum(0),
        torch.tensor([place for place, _ in counts]),
        torch.tensor([count for _, count in counts]),
    )
    config = SequenceConfig(hidden_size=8, heads=1, layers=1, max_items=5, use_text=False)
    model = SequenceModel(config, tables)
    torch.nn.init.constant_(model.ids.weight, vectors)
    architecture = {"history_decay": 0.5, "weight": 1.0, "mask_history": False, "parts": ["train"]}
    manifest = BundleManifest(name="next", kind="sequence", backbone="none", text_fields=("title",), max_tokens=8)
    with write_bundle(str(folder), manifest) as aside:
        save_file(model.state_dict(), aside / WEIGHTS)
        save_file(tables.to_tensors(), aside / TABLES)
        storage.write_json(str(aside / ITEMS), CATALOGUE)
        storage.write_json(str(aside / ARCHITECTURE), {"sequence": config.model_dump(mode="json"), **architecture})
    return str(folder)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_sequence(tmp_path_factory.mktemp("bundles") / "next")


@pytest.fixture(scope="module")
def sequencer(bundle):
    return Sequencer(bundle, 1)


def test_likelihoods_are_of_the_likeliest_ones(sequencer):
    ranked = sequencer.rank(["a"], [])
    assert list(ranked)[:3] == ["b", "c", "gone"] and set(ranked) == set(CATALOGUE)
    assert ranked["b"] == 1.0 and ranked["c"] == pytest.approx(0.5, abs=0.05)
    assert list(ranked.values()) == sorted(ranked.values(), reverse=True) and min(ranked.values()) > 0


def test_the_order_of_a_history_matters(sequencer):
    assert next(iter(sequencer.rank(["b", "a"], ["a", "b"]))) == "c"
    assert sequencer.rank(["a", "b"], []) != sequencer.rank(["b", "a"], [])


def test_what_is_excluded_is_not_ranked_and_the_best_of_the_others_is_1(sequencer):
    ranked = sequencer.rank(["a"], ["a", "b", "never heard of"])
    assert set(ranked) == {"c", "d", "gone"} and ranked["c"] == 1.0
    assert sequencer.rank(["a"], CATALOGUE) == {}


def test_unknown_products_are_passed_over_and_an_unknown_history_says_nothing(sequencer):
    assert sequencer.rank(["a", "x"], []) == sequencer.rank(["a"], [])
    assert sequencer.rank(["x", "y"], []) == sequencer.rank([], []) == {}


def test_scores_that_are_no_numbers_are_a_failure(tmp_path):
    astray = Sequencer(write_sequence(tmp_path / "astray", vectors=float("nan")), 1)
    with pytest.raises(FailedError, match="not a number"):
        astray.rank(["a"], [])


@pytest.fixture
def retriever(bundle, make_shop, home, tmp_path, monkeypatch):
    """retriever(): a replica, to be made in a loop; the shop lacks `gone`, and has only b and d in stock."""
    monkeypatch.setattr(module, "replica_cpus", lambda: 1)
    shop = make_shop(products=[{"product_id": name, "title": name, "stock": int(name in "bd")} for name in "abcd"])
    args = RetrieverArgs(folder=str(tmp_path / "indexes"))
    return lambda: Retriever(shop, args, resolve_sequencer(bundle))


def asked(retriever, exclude=(), limit=10, **filters):
    async def ask():
        replica = retriever()
        await replica.check_health()
        found = await replica.next_items(["a"], list(exclude), Filters(**filters), limit)
        return {product["product_id"]: product["next_item"] for product in found.products}

    return asyncio.run(ask())


def test_a_replica_proposes_what_the_shop_has(retriever, sequencer):
    found = asked(retriever)
    ranked = sequencer.rank(["a"], [])
    assert found == {name: value for name, value in ranked.items() if name != "gone"}
    assert list(found) == [name for name in ranked if name != "gone"]
    assert list(asked(retriever, limit=2)) == ["b", "c"]


def test_filters_hold_before_the_limit_is_applied(retriever):
    assert list(asked(retriever, limit=2, in_stock=True)) == ["b", "d"]
    assert list(asked(retriever, exclude=["b"], in_stock=True)) == ["d"]


def test_a_replica_without_one_does_not_load_any(make_shop, home, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "Sequencer", None)
    monkeypatch.setattr(module, "replica_cpus", lambda: 1)
    shop = make_shop(products=[{"product_id": "a", "title": "a"}])

    async def start():
        await Retriever(shop, RetrieverArgs(folder=str(tmp_path / "indexes"))).check_health()

    asyncio.run(start())


def test_another_kind_of_bundle_is_refused_before_any_replica_starts(tiny_bundle, bundle, home):
    args = AppArgs(ranker=str(tiny_bundle), shop="shop", sequencer=str(tiny_bundle))
    with pytest.raises(ConfigError, match=r"is a cross-encoder(.|\n)*next_item"):
        build(args)
    build(args.model_copy(update={"sequencer": bundle}))
    with pytest.raises(ConfigError, match="is a sequence"):
        build(args.model_copy(update={"ranker": bundle, "sequencer": None}))


def test_it_has_no_use_without_recommend():
    with pytest.raises(ConfigError, match="the route `recommend` alone"):
        AppArgs(ranker="r", shop="s", routes=("search",), sequencer="next")


@pytest.fixture
def proposing(make_client, backend):
    """proposing(blend): a client of an application with a sequencer."""

    def make(**recommend):
        backend.sequencer = SEQUENCER
        return make_client(sequencer="fake-sequencer", **({"blend": {"recommend": recommend}} if recommend else {}))

    return make


def recommended(client, **body):
    response = client.post("/recommend", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def shown(answer):
    return [result["product_id"] for result in answer["results"]]


def test_the_sequencer_proposes_for_a_history_and_says_how_likely(proposing, backend):
    client = proposing()
    answer = recommended(client, user_id="u-1", history=["p-9"], num_candidates=7)
    assert (answer["source"], answer["degraded"], answer["reason"]) == ("next_item", False, None)
    assert shown(answer) == ["p-2", "p-3"]
    assert [result["signals"]["next_item"] for result in answer["results"]] == [1.0, 0.25]
    assert backend.seen == [("next_items", ["p-1"], ["p-1", "p-9"], 7, 5.0)]


def test_filters_hold_for_proposals(proposing):
    assert shown(recommended(proposing(), user_id="u-1", filters={"price_min": 25.0})) == ["p-3"]


def test_its_likelihood_counts_in_the_blend_beside_other_signals(proposing):
    answer = recommended(proposing(next_item=1.0), user_id="u-1", explain=True)
    assert [result["score"] for result in answer["results"]] == [1.0, 0.25]
    part = {"value": 0.25, "weight": 1.0, "contribution": 0.25}
    assert answer["results"][1]["explanation"]["signals"] == {"next_item": part}
    # The lamp's history shares no word with either: sentiment 0.9 and 0.5.
    assert shown(recommended(proposing(next_item=-1.0, sentiment=0.1), user_id="u-1")) == ["p-3", "p-2"]


def test_the_ranker_orders_proposals_as_it_orders_others(proposing, backend):
    backend.taken_next["p-2"] = {"p-1": 1.0, "p-3": 0.5}
    answer = recommended(proposing(relevance=1.0, next_item=0.001), history=["p-2"])
    # "red" is shared with the shirt.
    assert answer["source"] == "next_item" and shown(answer) == ["p-3", "p-1"]
    assert {"relevance", "next_item"} <= answer["results"][0]["signals"].keys()


def test_a_history_that_it_does_not_know_is_answered_as_without_it(proposing, backend):
    answer = recommended(proposing(next_item=1.0, retrieval=0.5), history=["p-2"])
    assert (answer["source"], answer["reason"], answer["degraded"]) == ("history", "no_next_item", True)
    assert shown(answer) == ["p-3", "p-1"] and answer["results"][0]["score"] == 0.5
    assert "next_item" not in answer["results"][0]["signals"]
    assert [call[0] for call in backend.seen] == ["next_items", "recommend"]


@pytest.mark.parametrize(
    ("error", "reason"), [(LateError("late"), "sequencer_late"), (FailedError("x"), "sequencer_failed")]
)
def test_a_sequencer_that_does_not_answer_costs_its_proposals_alone(proposing, backend, error, reason):
    client = proposing()
    backend.sequencer_error = error
    answer = recommended(client, user_id="u-1")
    assert (answer["source"], answer["reason"], answer["degraded"]) == ("history", reason, True)
    assert shown(answer) == ["p-3", "p-2"]


def test_a_products_page_and_given_candidates_do_not_ask_it(proposing, backend):
    client = proposing()
    assert recommended(client, product_id="p-2", relation="complementary")["source"] == "complementary"
    assert recommended(client, user_id="u-1", candidates=["p-2"])["source"] == "candidates"
    assert recommended(client)["source"] == "popular"
    assert "next_items" not in {call[0] for call in backend.seen}


@pytest.mark.parametrize(
    ("blend", "sequencer"), [({"recommend": {"next_item": 1}}, None), ({"weights": {"next_item": 1}}, SEQUENCER)]
)
def test_its_weight_needs_one_and_means_recommend_alone(backend, blend, sequencer):
    backend.sequencer = sequencer
    with pytest.raises(ConfigError, match=r"next_item(.|\n)*`sequencer`"):
        backend.set_policy(blend={key: {"next_item": 1.0} for key in blend})


def test_answers_of_another_sequencer_are_not_given_again(proposing, backend):
    backend.catalogue = "c1"
    client = proposing()
    headers = []
    for digest in ("1" * 16, "1" * 16, "2" * 16):
        backend.sequencer = replace(SEQUENCER, digest=digest)
        headers.append(client.post("/recommend", json={"user_id": "u-1"}).headers.get("x-cache"))
    assert headers[1] == "hit" and headers[0] != "hit" != headers[2]


def test_it_is_listed_and_no_request_can_name_it(proposing):
    client = proposing()
    card = client.get("/v1/models").json()["data"][-1]
    assert (card["id"], card["role"], card["names"]) == ("fake-sequencer", "sequencer", [])
    body = {"model": "fake-sequencer", "query": "red", "documents": ["red"]}
    assert client.post("/v1/rerank", json=body).status_code == 404
