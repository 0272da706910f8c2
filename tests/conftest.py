"""Fixtures for all tests."""

import os
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
COLOURS = ("red", "blue", "green", "black")
KINDS = ("shoes", "lamp", "chair")
MATERIALS = ("leather", "wooden")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets: PLANOGRAM_DATA, or ../shared/data; tests that need it skip without it."""
    folder = Path(os.environ.get("PLANOGRAM_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no public data sets at {folder}: set PLANOGRAM_DATA to their folder")
    return folder


def tiny_products() -> list[dict[str, Any]]:
    return [
        {
            "product_id": f"{colour}-{kind}-{material}",
            "title": f"{colour} {material} {kind}",
            "brand": "Acme" if material == "leather" else None,
            "category": kind,
            "attributes": [("colour", colour), ("material", material)],
            "description": f"A {colour} thing: {kind} for every day.",
        }
        for colour, kind, material in product(COLOURS, KINDS, MATERIALS)
    ]


def tiny_judgments() -> list[dict[str, Any]]:
    """12 queries with 8 products each: grade 3 for colour and kind, 2 for the kind, 1 for the colour, 0 for neither."""
    rows = []
    for place, (colour, kind) in enumerate(product(COLOURS, KINDS)):
        colours = [other for other in COLOURS if other != colour]
        kinds = [other for other in KINDS if other != kind]
        material = MATERIALS[place % 2]
        candidates = [
            *((colour, kind, m, 3.0) for m in MATERIALS),
            *((other, kind, material, 2.0) for other in colours),
            *((colour, other, material, 1.0) for other in kinds),
            (colours[0], kinds[0], material, 0.0),
        ]
        rows += [
            {"query": f"{colour} {kind}", "product_id": f"{c}-{k}-{m}", "grade": grade} for c, k, m, grade in candidates
        ]
    return rows


@pytest.fixture(scope="session")
def make_shop(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """make_shop(products=[...], histories=[...]): a prepared shop with these rows; returns its folder."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from planogram import storage
    from planogram.data.schema import SHOP_MANIFEST, TABLES
    from planogram.data.shop import SHOP_FORMAT

    def make(**tables: list[dict[str, Any]]) -> str:
        shop = str(tmp_path_factory.mktemp("shop") / "tiny")
        with storage.sealed_folder(shop, SHOP_MANIFEST) as (folder, payload):
            for name, rows in tables.items():
                (folder / name).mkdir()
                content = pa.Table.from_pylist(rows, schema=TABLES[name].arrow_schema)
                pq.write_table(content, folder / name / "part-00000.parquet")
            payload.update(
                format=SHOP_FORMAT,
                name="tiny",
                data_digest="0" * 64,
                tables={name: {"rows": len(rows)} for name, rows in tables.items()},
            )
        return shop

    return make


@pytest.fixture(scope="session")
def tiny_shop(make_shop: Callable[..., str]) -> str:
    """A prepared shop of 24 products and 96 judgments."""
    return make_shop(products=tiny_products(), judgments=tiny_judgments())


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed bundle of an untrained model; copy it before changing it."""
    from safetensors.torch import save_file

    from planogram.data.text import PRODUCT_FIELDS, product_text
    from planogram.registry.bundle import WEIGHTS, BundleManifest, Head, write_bundle

    corpus = [product_text(row, PRODUCT_FIELDS) for row in tiny_products()]
    model, tokenizer = tiny_model(corpus)
    manifest = BundleManifest(
        name="tiny",
        heads=(Head(name="relevance", low=0.0, high=3.0, grades=(0.0, 1.0, 2.0, 3.0), cutoffs=(0.2, 0.5, 0.8)),),
        backbone="scratch",
        pooling="pair",
        text_fields=("title", "brand"),
        max_tokens=32,
    )
    target = tmp_path_factory.mktemp("bundles") / "tiny"
    with write_bundle(str(target), manifest) as folder:
        model.backbone.config.save_pretrained(folder)
        save_file(model.state_dict(), folder / WEIGHTS)
        tokenizer.save(str(folder / "tokenizer.json"))
    return target


def tiny_model(corpus: list[str]) -> tuple[Any, Any]:
    import torch

    from planogram.config import BackboneConfig
    from planogram.models.backbone import load_backbone
    from planogram.models.heads import CrossEncoder

    torch.manual_seed(0)
    config = BackboneConfig(name="scratch", hidden_size=32, layers=1, attention_heads=2, vocab_size=300)
    backbone, tokenizer = load_backbone(config, corpus, 32)
    return CrossEncoder(backbone, ["relevance"], "pair", dropout=0.1), tokenizer


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle that a test may damage."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PLANOGRAM_HOME whose database is made: making one takes seconds, copying it does not."""
    from mlflow import MlflowClient
    from sqlalchemy import Engine, event

    @event.listens_for(Engine, "connect")
    def do_not_wait_for_the_disk(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    home = tmp_path_factory.mktemp("home") / "empty"
    home.mkdir()
    MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}").search_registered_models()
    return home


@pytest.fixture
def home(empty_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PLANOGRAM_HOME of this test alone."""
    folder = Path(shutil.copytree(empty_home, tmp_path / "home"))
    monkeypatch.setenv("PLANOGRAM_HOME", str(folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


@pytest.fixture(scope="session")
def ranked_shop(make_shop: Callable[..., str]) -> str:
    """A prepared shop of 96 products, 384 judgments of 48 queries, and a log of searches."""
    from tests import ranked

    return make_shop(products=ranked.products(), judgments=ranked.judgments(), interactions=ranked.searches())


@pytest.fixture(scope="session")
def ranked_bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A bundle that ranks the shop of `ranked_shop` well, and is calibrated on it."""
    from tests import ranked

    return ranked.make_bundle(tmp_path_factory.mktemp("ranked") / "good")
