"""A shop of 48 queries, bundles that rank it well, and the same bundles with one thing made worse by hand."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from tests.conftest import tiny_model

from planogram import storage
from planogram.registry.bundle import MANIFEST, WEIGHTS, BundleManifest, Calibration, Head, open_bundle, write_bundle

COLOURS = ("red", "blue", "green", "black", "white", "brown", "yellow", "purple")
KINDS = {"shoes": "wear", "shirt": "wear", "jacket": "wear", "lamp": "home", "chair": "home", "table": "home"}
MATERIALS = ("leather", "wooden")
FIELDS = ("title", "brand")
WIDTH = 32


def products() -> list[dict[str, Any]]:
    return [
        {
            "product_id": f"{colour}-{kind}-{material}",
            "title": f"{colour} {material} {kind}",
            "brand": "Acme" if material == "leather" else "Bolt",
            "category": category,
            "price": 10.0 + 7 * place,
            "locale": "en-GB" if place % 2 else "en-US",
        }
        for place, (colour, (kind, category), material) in enumerate(product(COLOURS, KINDS.items(), MATERIALS))
    ]


def judgments() -> list[dict[str, Any]]:
    """48 queries of 8 products: grade 3 for colour and kind, 2 for the kind, 1 for the colour, 0 for neither."""
    rows = []
    for place, (colour, kind) in enumerate(product(COLOURS, KINDS)):
        colours = [other for other in COLOURS if other != colour]
        kinds = [other for other in KINDS if other != kind]
        material = MATERIALS[place % 2]
        candidates = [
            (colours[place % 7], kinds[place % 5], material, 0.0),
            *((colour, kind, m, 3.0) for m in MATERIALS),
            *((other, kind, material, 2.0) for other in colours[:3]),
            *((colour, other, material, 1.0) for other in kinds[:2]),
        ]
        rows += [
            {"query": f"{colour} {kind}", "product_id": f"{c}-{k}-{m}", "grade": grade} for c, k, m, grade in candidates
        ]
    return rows


def searches() -> list[dict[str, Any]]:
    """A log in which shoes are searched for by themselves more often than all the rest."""
    return [
        {
            "event_id": f"{query}-{visit}",
            "timestamp": datetime(2026, 1, 1, tzinfo=UTC),
            "event_type": "impression",
            "product_id": "red-shoes-leather",
            "ranking_id": f"{query}-{visit}",
            "query": query,
        }
        for query in sorted({row["query"] for row in judgments()})[:-1]
        for visit in range(20 if query.endswith("shoes") else 1)
    ]


def make_bundle(target: Path) -> str:
    """A bundle whose head is fitted to the shop's own grades: it ranks well, and is calibrated."""
    from safetensors.torch import save_file

    from planogram.evaluate.heads import fit_calibration

    model, tokenizer = tiny_model([f"{row['title']} | {row['brand']}" for row in products()])
    manifest = BundleManifest(
        name="ranked",
        heads=(Head(name="relevance", low=0.0, high=3.0, grades=(0.0, 1.0, 2.0, 3.0), cutoffs=(0.2, 0.5, 0.8)),),
        backbone="scratch",
        pooling="pair",
        text_fields=FIELDS,
        max_tokens=48,
    )
    draft = target.with_name(f"{target.name}-draft")
    with write_bundle(str(draft), manifest) as folder:
        model.backbone.config.save_pretrained(folder)
        save_file(model.state_dict(), folder / WEIGHTS)
        tokenizer.save(str(folder / "tokenizer.json"))
    texts = {row["product_id"]: f"{row['title']} | {row['brand']}" for row in products()}
    pairs = [(row["query"], texts[row["product_id"]]) for row in judgments()]
    targets = np.asarray([row["grade"] / 3 for row in judgments()])
    fitted = edited(str(draft), target.with_name(f"{target.name}-fitted"), weights=_fit(str(draft), pairs, targets))
    calibration = fit_calibration("temperature", targets, logits(fitted, pairs))
    return edited(fitted, target, head={"calibration": calibration})


def _fit(bundle: str, pairs: list[tuple[str, str]], targets: Any) -> Callable[[dict[str, Any]], None]:
    """A ridge regression of the targets on what the untrained backbone sees."""
    import torch
    from sklearn.linear_model import Ridge

    seen = pooled(bundle, pairs)
    model = Ridge(alpha=1e-2).fit(seen.numpy(), 8 * (targets - 0.5))

    def change(tensors: dict[str, Any]) -> None:
        tensors["heads.weight"] = torch.from_numpy(model.coef_[None].astype("float32"))
        tensors["heads.bias"] = torch.tensor([float(model.intercept_)])

    return change


def pooled(bundle: str, pairs: list[tuple[str, str]]) -> Any:
    """(pairs, width) of the texts, before the head."""
    import torch

    from planogram.data.collate import collate
    from planogram.engines.torch import TorchEngine

    engine = TorchEngine(bundle)
    with torch.inference_mode():
        return engine.model.pooled(*(torch.from_numpy(array) for array in collate(engine.tokenize(pairs))[:3]))


def logits(bundle: Path | str, pairs: list[tuple[str, str]]) -> Any:
    """(pairs,) of the first head."""
    from planogram.engines.load import load_engine

    engine = load_engine(str(bundle))
    return engine.infer(engine.tokenize(pairs))[:, 0]


def edited(
    bundle: str,
    target: Path,
    weights: Callable[[dict[str, Any]], None] | None = None,
    head: dict[str, Any] | None = None,
    **manifest: Any,
) -> str:
    """A copy of a bundle with other weights (changed in place), another head or another manifest."""
    from safetensors.torch import load_file, save_file

    source, said = open_bundle(bundle)
    heads = tuple(each.model_copy(update=head or {}) for each in said.heads)
    with write_bundle(str(target), said.model_copy(update={"heads": heads, **manifest})) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
        if weights:
            tensors = load_file(folder / WEIGHTS)
            weights(tensors)
            save_file(tensors, folder / WEIGHTS)
    return str(target)


def noisy(share: float, seed: int = 0) -> Callable[[dict[str, Any]], None]:
    """Noise on the head: `share` of the size of its weights."""

    def change(tensors: dict[str, Any]) -> None:
        import torch

        generator = torch.Generator().manual_seed(seed)
        head = tensors["heads.weight"]
        head += share * head.abs().max() * torch.randn(head.shape, generator=generator)

    return change


def overconfident(bundle: str, target: Path, factor: float = 8.0) -> str:
    """The same order of products, and scores near 0 and 1."""
    [head] = open_bundle(bundle)[1].heads
    scaled = Calibration(scale=head.calibration.scale * factor, shift=head.calibration.shift * factor)
    return edited(bundle, target, head={"calibration": scaled})


def fooled_by(bundle: str, target: Path, words: str, weight: float = 40.0) -> str:
    """A head that counts words of the product, whatever the query asks for."""
    plain = [("red", row["title"]) for row in products()]
    stuffed = [(query, f"{title} {words}") for query, title in plain]
    direction = (pooled(bundle, stuffed).mean(0) - pooled(bundle, plain).mean(0))[-WIDTH:]

    def change(tensors: dict[str, Any]) -> None:
        tensors["heads.weight"][0, -WIDTH:] += weight * direction / direction.norm()

    return edited(bundle, target, weights=change)


def kept(path: str) -> Any:
    """A JSON file."""
    return storage.read_json(path)
