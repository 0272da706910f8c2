"""The examples of every task: which tables it reads and how they become texts with targets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder

from planogram.config import ClickConfig, SplitConfig, TextConfig, TowerConfig
from planogram.data.examples import clicks
from planogram.data.examples.base import Examples, Floats, examples, numbered, product_texts, text_columns
from planogram.data.examples.judged import relevance_examples
from planogram.data.shop import has_table, read_table
from planogram.data.signals import LABELS
from planogram.data.splits import assign, take
from planogram.data.text import clean, features_text, history_text, query_text
from planogram.errors import DataError


@dataclass(frozen=True)
class Source:
    """Where examples come from and how they are written.

    Attributes:
        shop: folder of the prepared shop.
        part: train, valid, test, or all.
    """

    shop: str
    text: TextConfig
    split: SplitConfig
    clicks: ClickConfig
    tower: TowerConfig
    part: str


@dataclass(frozen=True)
class TaskSpec:
    """What a head means.

    Attributes:
        load: reads its examples.
        metric: of validation, maximised.
        objective: what the cutoffs of its score maximise; None: it has none.
        ranks: whether its examples stand in lists.
    """

    load: Callable[[Source], Examples]
    metric: str
    objective: Literal["kappa", "f1", "macro_f1"] | None = None
    ranks: bool = True


def load(task: str, source: Source) -> Examples:
    """The examples of a task.

    Raises:
        DataError: the shop lacks the table, or no example is left.
    """
    return TASKS[task].load(source)


#: what a tokenizer of a fine-tune learns from
READ_BY_TOKENIZER = ("products", "reviews", "pairs", "sessions")


def corpus(source: Source, kinds: Sequence[str] = READ_BY_TOKENIZER) -> list[str]:
    """All texts of a shop, from which a tokenizer or a language model may learn.

    Args:
        source: of its part `train`, all products belong to it, unless the split is by product. `held_out` is what
            neither `train` nor the products have: the rows that validate or test. A table which the split cannot
            divide, by which no fine-tune of it can be measured, is in `train` as a whole.
        kinds: of `CORPORA`; those that the shop does not have give nothing.
    """
    return [text for kind in kinds for text in CORPORA[kind](source) if text]


def _rows(frame: pd.DataFrame, source: Source) -> pd.DataFrame:
    """The rows of the corpus."""
    if source.part == "all" or frame.empty:
        return frame
    try:
        trains = assign(frame, source.split) == "train"
    except DataError:
        trains = np.ones(len(frame), dtype=bool)
    return frame[trains if source.part == "train" else ~trains]


def _table_rows(source: Source, table: str) -> pd.DataFrame | None:
    return _rows(read_table(source.shop, table), source) if has_table(source.shop, table) else None


def _product_corpus(source: Source) -> list[str]:
    if not has_table(source.shop, "products"):
        return []
    products = _products(source)
    if source.part != "all" and source.split.by == "product":
        outside = _held_out_products(source)
        products = products[products["product_id"].isin(outside) == (source.part == "held_out")]
    elif source.part == "held_out":
        return []
    return list(_texts(source, products).values())


def _held_out_products(source: Source) -> set[str]:
    held_out = replace(source, part="held_out")
    rows = [_table_rows(held_out, "reviews"), _table_rows(held_out, "judgments"), _impressions(held_out)]
    return {product for frame in rows if frame is not None for product in frame["product_id"].dropna()}


def _review_corpus(source: Source) -> list[str]:
    rows = _table_rows(source, "reviews")
    return [] if rows is None else [clean(text) for text in rows["text"]]


def _pair_corpus(source: Source) -> list[str]:
    rows = _table_rows(source, "pairs")
    return [] if rows is None else [clean(text) for column in ("text_a", "text_b") for text in rows[column]]


def _query_corpus(source: Source) -> list[str]:
    """Each judged or shown query once."""
    frames = [_table_rows(source, "judgments"), _impressions(source)]
    queries = [query for frame in frames if frame is not None for query in frame["query"].unique()]
    return [query_text(query) for query in dict.fromkeys(queries)]


def _impressions(source: Source) -> pd.DataFrame | None:
    """Impressions with a query, whose split is that of the click task."""
    if not has_table(source.shop, "interactions"):
        return None
    table = read_table(source.shop, "interactions")
    shown = table[(table["event_type"] == "impression") & table["position"].notna() & table["query"].notna()]
    return _rows(shown, source)


def _history_corpus(source: Source) -> list[str]:
    """Histories in words, without what came next."""
    rows = _table_rows(source, "histories")
    if rows is None or not has_table(source.shop, "products"):
        return []
    products = read_table(source.shop, "products", ["product_id", "title"])
    titles = dict(zip(products["product_id"], products["title"], strict=True))
    pairs = zip(rows["history"], rows["history_labels"], strict=True)
    return [_history(history, labels, titles, source.text) for history, labels in pairs]


def _session_corpus(source: Source) -> list[str]:
    rows = _table_rows(source, "sessions")
    return [] if rows is None else [features_text(features) for features in rows["features"]]


#: the kinds of text in a shop
CORPORA: dict[str, Callable[[Source], list[str]]] = {
    "products": _product_corpus,
    "reviews": _review_corpus,
    "pairs": _pair_corpus,
    "queries": _query_corpus,
    "histories": _history_corpus,
    "sessions": _session_corpus,
}


def _products(source: Source, *extra: str) -> pd.DataFrame:
    columns = text_columns(source.text.fields)
    return read_table(source.shop, "products", [*columns, *(name for name in extra if name not in columns)])


def _texts(source: Source, products: pd.DataFrame) -> dict[str, str]:
    return product_texts(products, source.text.fields, source.text.language)


def _relevance(source: Source) -> Examples:
    judgments = read_table(source.shop, "judgments")
    fields, language = source.text.fields, source.text.language
    return relevance_examples(judgments, _products(source), fields, source.split, source.part, language)


def _click(source: Source) -> Examples:
    pages = shown(source)
    if source.clicks.debias == "position_feature" and source.part == "train":
        return _rated(source, clicks.rates_by_position(pages))
    return _rated(source, clicks.click_rates(pages, clicks.examination(pages, source.clicks)))


def _purchase(source: Source) -> Examples:
    if has_table(source.shop, "sessions"):
        return _sessions(source)
    return _rated(source, clicks.purchase_rates(shown(source)))


def shown(source: Source) -> pd.DataFrame:
    """Impressions of the part; the same query in another season is another query.

    Raises:
        DataError: there are none.
    """
    pages = take(clicks.impressions(read_table(source.shop, "interactions")), source.split, source.part, "impression")
    if not source.text.season:
        return pages
    months = pages["timestamp"].dt.month
    texts = [query_text(q, m, source.text.language) for q, m in zip(pages["query"], months, strict=True)]
    return pages.assign(query=texts)


def _rated(source: Source, rates: pd.DataFrame) -> Examples:
    """Rates of (query, product) as examples."""
    products = _products(source, *source.tower.features)
    rates = rates[rates["product_id"].isin(set(products["product_id"]))].reset_index(drop=True)
    if rates.empty:
        raise DataError(f"no product of part {source.part!r} has a text", remedy="check the products table")
    texts = _texts(source, products[products["product_id"].isin(set(rates["product_id"]))])
    return examples(
        [(query_text(q), texts[p]) for q, p in zip(rates["query"], rates["product_id"], strict=True)],
        rates["grade"].to_numpy(),
        numbered(rates["query"]),
        rates["weight"].to_numpy(),
        rates["position"].to_numpy() if "position" in rates else None,
        _columns(source, products.set_index("product_id").loc[rates["product_id"]]),
        products=rates["product_id"].tolist(),
    )


def _sessions(source: Source) -> Examples:
    sessions = take(read_table(source.shop, "sessions"), source.split, source.part, "session")
    rows = [dict(features or ()) for features in sessions["features"]]
    words = [_written(row, source) for row in rows]
    return examples(
        [(features_text(row), "") for row in words],
        sessions["purchased"].to_numpy(),
        features=_columns(source, pd.DataFrame(rows)),
    )


def _written(features: dict[str, str], source: Source) -> dict[str, str]:
    """The features of a visit that become words."""
    chosen = source.text.features
    if chosen is None:
        return {name: value for name, value in features.items() if name not in source.tower.features}
    return {name: features[name] for name in chosen if name in features}


def _columns(source: Source, frame: pd.DataFrame) -> pd.DataFrame:
    return tower_columns(source.tower, frame)


def tower_columns(tower: TowerConfig, frame: pd.DataFrame) -> pd.DataFrame:
    """(rows,) the columns that a tower takes.

    Raises:
        DataError: one is absent.
    """
    names = list(tower.features)
    if absent := [name for name in names if name not in frame]:
        raise DataError(
            f"tower.features: {', '.join(absent)} does not exist",
            allowed=", ".join(map(str, frame.columns)),
            remedy="name columns of the table",
        )
    return frame[names].reset_index(drop=True)


# Rows at the share of all that stand beside those of a product.
SMOOTHING = 5.0
FOLDS = 5


def _sentiment(source: Source) -> Examples:
    reviews = take(read_table(source.shop, "reviews"), source.split, source.part, "review")
    column = "label" if reviews["label"].notna().any() else "rating"
    reviews = reviews.dropna(subset=[column]).reset_index(drop=True)
    if column == "label" and (unknown := set(reviews["label"]) - LABELS.keys()):
        raise DataError(
            f"review labels {', '.join(sorted(unknown))}", allowed=", ".join(LABELS), remedy="map them in the mapping"
        )
    grades = reviews["label"].map(LABELS) if column == "label" else reviews["rating"]
    return examples(
        [(clean(text), "") for text in reviews["text"]],
        grades.to_numpy(),
        features=_columns(source, reviews),
    )


def _similarity(source: Source) -> Examples:
    pairs = take(read_table(source.shop, "pairs"), source.split, source.part, "pair")
    return examples(
        [(clean(a), clean(b)) for a, b in zip(pairs["text_a"], pairs["text_b"], strict=True)],
        pairs["label"].to_numpy(),
    )


def _preference(source: Source) -> Examples:
    histories = read_table(source.shop, "histories").dropna(subset=["label"]).reset_index(drop=True)
    chosen = take(histories, source.split, source.part, "history")
    products = _products(source, "title")
    titles = dict(zip(products["product_id"], products["title"], strict=True))
    texts = _texts(source, products)
    rows = chosen[chosen["product_id"].isin(texts.keys())].reset_index(drop=True)
    features = _history_features(rows)
    if "product_liked_share" in source.tower.features:
        features = features.assign(product_liked_share=_liked_shares(histories, rows, source))
    return examples(
        [
            (_history(history, labels, titles, source.text), texts[product])
            for history, labels, product in zip(
                rows["history"], rows["history_labels"], rows["product_id"], strict=True
            )
        ],
        rows["label"].to_numpy(),
        numbered(rows["user_id"]) if rows["user_id"].notna().all() else None,
        features=_columns(source, features),
    )


def _history(history: list[str], labels: list[str] | None, titles: dict[str, str], text: TextConfig) -> str:
    newest = list(history)[-text.history :]
    marks = None if labels is None else [label == "1" for label in list(labels)[-text.history :]]
    return history_text([titles.get(product, "") for product in newest], marks, text.language)


def _history_features(rows: pd.DataFrame) -> pd.DataFrame:
    """Numbers of a history: how many products, and the share that was liked."""
    liked = [[label == "1" for label in labels] if labels is not None else [] for labels in rows["history_labels"]]
    return rows.assign(
        history_length=[len(history) for history in rows["history"]],
        liked_share=[float(np.mean(marks)) if marks else np.nan for marks in liked],
    )


def _liked_shares(histories: pd.DataFrame, rows: pd.DataFrame, source: Source) -> Floats:
    """(rows,) share of the training rows of the same product that were liked, drawn towards the share of all.

    Of a training row by rows of other folds alone: its own label is never in it.

    Source: Micci-Barreca 2001, A Preprocessing Scheme for High-Cardinality Categorical Attributes.
    """
    encoder = TargetEncoder(target_type="binary", smooth=SMOOTHING, cv=KFold(FOLDS, shuffle=True, random_state=0))
    trains = take(histories, source.split, "train", "history")
    known = encoder.fit_transform(trains[["product_id"]], trains["label"].astype(int))[:, 0]
    found = encoder.transform(rows[["product_id"]])[:, 0]
    of_training = pd.Series(known, index=trains["history_id"])
    return rows["history_id"].map(of_training).fillna(pd.Series(found, index=rows.index)).to_numpy(dtype=np.float64)


TASKS = {
    "relevance": TaskSpec(_relevance, "ndcg@10", "kappa"),
    "click": TaskSpec(_click, "ndcg@10"),
    "purchase": TaskSpec(_purchase, "auc"),
    "sentiment": TaskSpec(_sentiment, "macro_f1", "macro_f1", ranks=False),
    "similarity": TaskSpec(_similarity, "f1", "f1", ranks=False),
    "preference": TaskSpec(_preference, "auc", ranks=False),
}
