"""The whole line in one file: shop -> ranker, encoder, demand model -> registry -> server -> searches and prices."""

import hashlib
import json
from typing import Any

import httpx
import pandas as pd
from rich.console import Console
from rich.table import Table

from planogram import blend, finetune, storage
from planogram.cluster import connect
from planogram.config import BlendConfig, DemandConfig, DemoConfig, EvaluateConfig, FinetuneConfig
from planogram.data.simulate import simulate
from planogram.data.sources import open_shop, prepare, read_table
from planogram.data.splits import assign
from planogram.errors import DataError
from planogram.evaluate import offline
from planogram.models.backbone import SCRATCH
from planogram.registry.store import CHAMPION, Registry
from planogram.serve import launch
from planogram.serve.check import IMPORT_PATH, LOOPBACK
from planogram.serve.haproxy import isolated

MODEL = "shop-ranker"
ENCODER = "shop-encoder"
DEMAND = "shop-demand"
NUM_SEARCHES = 3
# Heads that begin at the shop's own elasticity learn at a higher rate than a backbone.
DEMAND_RATE = 2e-3
# Of a price over its cost, where a product has no floor of its own; and of a change at once.
MIN_MARGIN = 0.1
MAX_CHANGE = 0.1
console = Console()


def run(config: DemoConfig, shop: str | None, exit_after: bool) -> None:
    """Run the demo; a second run reuses what the first one made.

    Args:
        config: sizes, training and the server's port.
        shop: a prepared shop; absent: a simulated one below PLANOGRAM_HOME.
        exit_after: stop the server after the searches; otherwise it stays until Ctrl-C.

    Raises:
        PlanogramError: a stage failed; the message says which and what to do.
    """
    with isolated(), connect(config.cluster, serve=True):
        shop = shop or _simulated_shop(config)
        console.rule("fine-tune the ranker, which orders what was found")
        ranker = finetune.run(_ranker_config(config, shop))
        console.rule("evaluate")
        _show_evaluation(ranker, _evaluate(config, shop, ranker["bundle"]))
        console.rule("fine-tune the encoder, which finds by meaning")
        trained = {MODEL: ranker, ENCODER: finetune.run(_encoder_config(config, shop))}
        if priced := _sells_at_prices(shop):
            console.rule("fine-tune the demand model, which sets prices")
            trained[DEMAND] = finetune.run(_demand_config(config, shop))
        console.rule("learn what counts beside relevance")
        blended = _blend(config, shop, ranker["bundle"])
        console.rule("publish")
        for name, made in trained.items():
            _publish(name, made)
        console.rule("serve")
        queries = _test_queries(config, shop)
        with launch.serving(_serve_config(config, shop, blended, priced=priced)) as server:
            found = [_search(server.url, query) for query in queries]
            if priced:
                _price(server.url, found[0])
            _say_what_next(server.url, shop)
            if not exit_after:
                launch.wait_for_interrupt()


def _simulated_shop(config: DemoConfig) -> str:
    digest = _digest(config.simulate.model_dump())
    raw, shop = (storage.join(storage.home(), "demo", f"{kind}-{digest}") for kind in ("raw", "shop"))
    console.rule("simulate")
    if not storage.exists(raw):
        summary = simulate(config.simulate, raw)
        console.print(", ".join(f"{value:,} {key}" for key, value in summary.items() if isinstance(value, int)))
    console.rule("prepare")
    if not storage.exists(shop):
        console.print(prepare(storage.join(raw, "mapping.yaml"), raw, shop).render())
    return shop


def _ranker_config(config: DemoConfig, shop: str) -> FinetuneConfig:
    shared = config.model_dump(include={"text", "backbone", "loss", "optimizer", "train", "launch", "split"})
    return _resumable(MODEL, shared, shop)


def _encoder_config(config: DemoConfig, shop: str) -> FinetuneConfig:
    shared = config.model_dump(include={"text", "backbone", "optimizer", "launch", "split"})
    backbone = {**shared["backbone"], "pooling": "mean"}
    train = config.encoder_train.model_dump()
    return _resumable(ENCODER, {**shared, "model": "bi-encoder", "backbone": backbone, "train": train}, shop)


def _sells_at_prices(shop: str) -> bool:
    """Whether the shop tells what was bought at which price."""
    if "interactions" not in open_shop(shop)["tables"]:
        return False
    events = read_table(shop, "interactions", ["event_type", "price"])
    known = bool(events.loc[events["event_type"] == "purchase", "price"].notna().any())
    if not known:
        console.print("no purchase has a price: the shop is served without prices")
    return known


def _demand_config(config: DemoConfig, shop: str) -> DemandConfig:
    backbone = {**config.backbone.model_dump(), "pooling": "mean"}
    optimizer = {**config.optimizer.model_dump(), "head_learning_rate": DEMAND_RATE}
    settings = {
        "task": "demand",
        "kind": "purchase",
        "text": config.text.model_dump(),
        "backbone": backbone,
        # Of a frozen backbone one process trains the heads in seconds; a scratch backbone knows nothing to freeze.
        "adapter": {"method": "none" if config.backbone.name == SCRATCH else "head"},
        "optimizer": optimizer,
        "train": config.demand_train.model_dump(),
        "launch": {**config.launch.model_dump(), "workers": 0},
        "cluster": config.cluster.model_dump(),
    }
    return DemandConfig.model_validate(_resumable_settings(DEMAND, settings, shop))


def _resumable(name: str, settings: dict[str, Any], shop: str) -> FinetuneConfig:
    return FinetuneConfig.model_validate(_resumable_settings(name, settings, shop))


def _resumable_settings(name: str, settings: dict[str, Any], shop: str) -> dict[str, Any]:
    # The same data and settings are the same run: it goes on, or is there already.
    run = f"demo-{name}-{_digest({**settings, 'data': open_shop(shop)['data_digest']})}"
    return {**settings, "name": name, "run": run, "shop": shop}


def _publish(name: str, trained: dict[str, Any]) -> None:
    version = Registry().publish(trained["bundle"], name, reason=f"run {trained['run']}")
    Registry().promote(version.reference, CHAMPION, reason="the demo serves its newest model")
    console.print(f"{version.reference} is {name}@{CHAMPION}")


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:10]


def _evaluate(config: DemoConfig, shop: str, bundle: str) -> dict[str, Any]:
    return offline.run(EvaluateConfig(bundle=bundle, shop=shop, split=config.split, cluster=config.cluster))


def _show_evaluation(trained: dict[str, Any], tested: dict[str, Any]) -> None:
    before, best = trained["history"][0], trained["metrics"]
    table = Table("", "NDCG@10", "AUC", title=f"test: {tested['queries']} queries that training never saw")
    table.add_row("test: BM25", f"{tested['lexical']['ndcg@10']:.3f}", "")
    table.add_row("validation: before fine-tuning", f"{before['ndcg@10']:.3f}", f"{before['auc']:.3f}")
    table.add_row("validation: after", f"{best['ndcg@10']:.3f}", f"{best['auc']:.3f}")
    table.add_row("test: after", f"{tested['metrics']['ndcg@10']:.3f}", f"{tested['metrics']['auc']:.3f}")
    console.print(table)


def _blend(config: DemoConfig, shop: str, bundle: str) -> str | None:
    """The file of weights by which searches are ordered; None where relevance alone orders unseen queries better."""
    named = _digest([config.model_dump(mode="json"), open_shop(shop)["data_digest"]])
    out = storage.join(storage.home(), "demo", f"blend-{named}.json")
    try:
        learned = blend.run(BlendConfig(bundle=bundle, shop=shop, split=config.split, out=out))
    except DataError as error:
        console.print(f"relevance alone decides: {error}")
        return None
    weights = ", ".join(f"{name} {weight:.2f}" for name, weight in learned["weights"].items())
    ndcg = learned["ndcg@10"]
    console.print(f"{weights}: NDCG@10 {ndcg['blend']:.3f}, by relevance alone {ndcg['alone']:.3f}")
    if learned["gain"] < 0:
        console.print("relevance alone orders unseen queries better, so it decides")
        return None
    return out


def _serve_config(config: DemoConfig, shop: str, blended: str | None, *, priced: bool) -> dict[str, Any]:
    args: dict[str, Any] = {
        "ranker": f"{MODEL}@{CHAMPION}",
        "shop": shop,
        "retriever": {"encoder": f"{ENCODER}@{CHAMPION}"},
        "blend": {"file": blended},
    }
    if priced:
        args["routes"] = ["search", "recommend", "rerank", "price"]
        args["pricing"] = {"demand": f"{DEMAND}@{CHAMPION}"}
        args["prices"] = {"min_margin": MIN_MARGIN, "max_change": MAX_CHANGE}
    application = {"name": "planogram", "route_prefix": "/", "import_path": IMPORT_PATH, "args": args}
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": LOOPBACK, "port": config.port, "request_timeout_s": 15},
        "applications": [application],
    }


def _test_queries(config: DemoConfig, shop: str) -> list[str]:
    judgments: pd.DataFrame = read_table(shop, "judgments")
    unseen = judgments["query"][assign(judgments, config.split) == "test"]
    return [str(query) for query in unseen.drop_duplicates().head(NUM_SEARCHES)]


def _search(url: str, query: str) -> list[str]:
    """Ask and show; returns the products that were found."""
    response = httpx.post(f"{url}/search", json={"query": query, "top_k": 5}, timeout=30)
    answer = response.raise_for_status().json()
    reason = f", degraded: {answer['reason']}" if answer["degraded"] else ""
    table = Table("", "product", "price", "stock", "score", title=f"{query!r} in {answer['took_ms']:.0f} ms{reason}")
    for result in answer["results"]:
        price = "" if result["price"] is None else f"{result['price']:.2f} {result['currency'] or ''}".strip()
        stock = "" if result["stock"] is None else str(result["stock"])
        score = "" if result["score"] is None else f"{result['score']:.3f}"
        table.add_row(str(result["position"]), result["title"], price, stock, score)
    console.print(table)
    return [str(result["product_id"]) for result in answer["results"]]


def _price(url: str, products: list[str]) -> None:
    body = {"items": [{"product_id": product} for product in products]}
    answer = httpx.post(f"{url}/price", json=body, timeout=30).raise_for_status().json()
    table = Table("product", "price", "new price", "elasticity", "what set it", title="prices of what was found first")
    for product in answer["prices"]:
        elasticity = "" if product["elasticity"] is None else f"{product['elasticity']:.2f}"
        amounts = ("" if amount is None else f"{amount:.2f}" for amount in (product["current_price"], product["price"]))
        table.add_row(product["product_id"], *amounts, elasticity, product["rule"])
    console.print(table)


def _say_what_next(url: str, shop: str) -> None:
    console.rule("next")
    ask = f"curl -s {url}/search -H 'content-type: application/json' -d '{{\"query\": \"red shoes\"}}'"
    console.print(f"Ask it yourself:     {ask}", soft_wrap=True)
    console.print(f"Read its API:        {url}/docs")
    console.print(f"See the model:       planogram models show {MODEL}@{CHAMPION}")
    console.print("See the curves:      mlflow ui --backend-store-uri sqlite:///.planogram/mlflow.db")
    console.print("Bring your own shop: planogram data prepare --help, then DEMO_DATA=SHOP make demo")
    console.print(f"The shop:            {shop}")
