"""The sections that say what data is read and how it becomes examples."""

from typing import Literal

from pydantic import Field, model_validator

from planogram.section import Names, Section


class SplitConfig(Section):
    """Which examples train, validate and test. Never random over rows."""

    by: Literal["query", "user", "product", "session", "text", "time", "given"] = Field(
        "query",
        description="the group kept together (`text`: equal texts); `time`: by timestamp; `given`: the table's own "
        "split column",
    )
    folds: int = Field(5, ge=2, description="test share is 1 / folds")
    fold: int = Field(0, ge=0, description="which of the folds tests")
    valid_share: float = Field(0.1, gt=0, lt=1, description="share of what remains that validates, split the same way")
    seed: int = Field(0, ge=0, description="of the choice of what validates")

    @model_validator(mode="after")
    def _fold_exists(self) -> "SplitConfig":
        if self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} does not exist: folds are 0 to {self.folds - 1}")
        return self


class TextConfig(Section):
    """How rows become text."""

    language: Literal["en", "zh"] = Field("en", description="of the words around the values")
    features: Names | None = Field(
        None, description="features of a visit that are written out; absent: all that the tower does not take"
    )
    season: bool = Field(
        False, description="click, purchase: the season of a page stands beside its query; when served, today's"
    )
    history: int = Field(10, ge=1, description="newest products of a shopper's history that are written out")
    fields: Names = Field(("title", "brand", "category", "attributes", "description"), min_length=1)
    max_tokens: int = Field(128, ge=8, le=8192, description="of query and product together, special tokens included")


HeadTask = Literal["relevance", "click", "purchase", "sentiment", "similarity", "preference"]


class ClickConfig(Section):
    """How click logs become training targets: shoppers look at the top of a page first, whatever stands there."""

    debias: Literal["none", "ips", "position_feature"] = Field(
        "none", description="`ips`: clicks over expected examination; `position_feature`: a learned bias per position"
    )
    propensities: Literal["em", "randomised"] = Field(
        "em", description="of `ips`: by regression EM, or from the pages that were shuffled (rows with a propensity)"
    )
    clip: float = Field(0.05, gt=0, le=1, description="smallest examination that is believed")


class SimulateConfig(Section):
    """`planogram data simulate`: a shop whose truth is known."""

    products: int = Field(500, ge=10)
    shoppers: int = Field(2000, ge=1)
    queries: int = Field(120, ge=5)
    sessions: int = Field(20000, ge=1, description="search sessions; each shows `page_size` products")
    page_size: int = Field(10, ge=2, le=100)
    reviews: int = Field(2000, ge=0)
    judged_per_query: int = Field(24, ge=2, description="products with a true grade in the judgments table, per query")
    judgment_noise: float = Field(0.0, ge=0, le=1, description="share of judgments one grade off the truth")
    randomised_share: float = Field(0.1, ge=0, le=1, description="share of sessions that see a random page")
    price_response: float = Field(
        0.0, ge=0, le=1, description="how far prices follow the season of demand; 0: there is none, and they are random"
    )
    seed: int = Field(0, ge=0)


TextSource = Literal["products", "reviews", "pairs", "queries", "histories", "sessions"]


ALL_SOURCES: tuple[TextSource, ...] = ("products", "reviews", "pairs", "queries", "histories", "sessions")
