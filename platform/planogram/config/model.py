"""The sections that say what the model is and what its loss is."""

from typing import Literal

from pydantic import Field, model_validator

from planogram.section import Names, Section

Pooling = Literal["cls", "mean", "pair", "last"]


# Not from data.tokenizer, whose library takes a second to import.
TokenizerKind = Literal["wordpiece", "bpe"]


class BackboneConfig(Section):
    """The language model under the heads."""

    name: str = Field("minilm-l6", description="minilm-l6, scratch, a Hugging Face id, or a local folder")
    pooling: Pooling = Field(
        "pair",
        description="token states into features: `pair` compares the query's mean with the product's; "
        "`last`: the last token, for decoders",
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="of hidden states, and before the heads")
    attention_dropout: float = Field(
        0.0, ge=0, lt=1, description="of attention weights; above 0, steps on a CPU take a quarter longer"
    )
    freeze_embeddings: bool = Field(
        False, description="token vectors stay as they were pretrained; they are half of MiniLM's weights"
    )
    family: Literal["bert", "gpt2"] = Field("bert", description="scratch: an encoder, or a decoder")
    vocab_size: int = Field(8192, ge=128, description="scratch: size of the trained tokenizer")
    tokenizer: TokenizerKind = Field(
        "wordpiece",
        description="scratch: `bpe` also joins Chinese characters that often stand together; "
        "`wordpiece` keeps each a token",
    )
    hidden_size: int = Field(128, ge=8, description="scratch")
    layers: int = Field(2, ge=1, description="scratch")
    attention_heads: int = Field(4, ge=1, description="scratch")


LISTWISE_LOSSES = ("pairwise_logistic", "listnet", "listmle", "lambda_ndcg")


class LossConfig(Section):
    """Weighted sum of losses; the weights need not add up to one."""

    mse: float = Field(0.0, ge=0)
    bce: float = Field(1.0, ge=0)
    focal: float = Field(0.0, ge=0)
    pairwise_logistic: float = Field(0.0, ge=0)
    listnet: float = Field(0.0, ge=0)
    listmle: float = Field(0.0, ge=0)
    lambda_ndcg: float = Field(0.0, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="of bce: targets move this share of the way to 1/2")
    focal_gamma: float = Field(2.0, ge=0, description="of focal: how much easy examples are played down")

    @model_validator(mode="after")
    def _some_loss(self) -> "LossConfig":
        if not any(self.weights().values()):
            raise ValueError("every loss has weight 0: give at least one a positive weight")
        return self

    def weights(self) -> dict[str, float]:
        """The losses that count: name -> weight."""
        values = self.model_dump(exclude={"label_smoothing", "focal_gamma"})
        return {name: weight for name, weight in values.items() if weight > 0}


class TowerConfig(Section):
    """Numbers and categories beside the text, through a small dense network."""

    features: Names = Field((), description="columns or keys of the task's rows; absent: text alone")
    match: bool = Field(False, description="how many words of each text stand in the other, in what order, and where")
    categories: Names = Field((), description="of the features, those whose numbers are codes and no amounts")
    hidden_size: int = Field(64, ge=1)
    crosses: int = Field(0, ge=0, le=4, description="layers that form products of columns, before the dense ones")
    dropout: float = Field(0.3, ge=0, lt=1, description="after each of the two dense layers")
    input_dropout: float = Field(0.0, ge=0, lt=1, description="of the columns")

    @model_validator(mode="after")
    def _categories_are_features(self) -> "TowerConfig":
        if unknown := [name for name in self.categories if name not in self.features]:
            raise ValueError(f"categories names {', '.join(unknown)}, which features does not: add it there")
        return self


AdapterMethod = Literal["none", "head", "lora", "rslora", "dora", "adalora", "ia3", "prefix", "houlsby"]


class AdapterConfig(Section):
    """Parameter-efficient tuning of the backbone; heads always train."""

    method: AdapterMethod = Field("none", description="`none`: all weights train; `head`: the backbone is frozen")
    rank: int = Field(8, ge=1, description="of lora, rslora, dora; adalora's mean rank at the end")
    alpha: float = Field(16.0, gt=0, description="scale of the update; lora divides it by rank, rslora by its root")
    dropout: float = Field(0.0, ge=0, lt=1, description="of lora and its kin")
    bottleneck: int = Field(48, ge=1, description="houlsby: width of the bottleneck")
    prefix_tokens: int = Field(16, ge=1, description="prefix: virtual tokens of every layer")
    base: Literal["fp32", "nf4", "int8"] = Field("fp32", description="frozen weights by bitsandbytes (QLoRA)")
    merge: bool = Field(True, description="fold it into the weights where the method can; else the bundle holds it")

    @model_validator(mode="after")
    def _quantized_base_is_frozen(self) -> "AdapterConfig":
        if self.base != "fp32" and self.method == "none":
            raise ValueError(f"base {self.base} cannot train: choose an adapter method")
        return self


class ContrastiveConfig(Section):
    """Learning of vectors: a query near its products, far from those of others."""

    temperature: float = Field(0.05, gt=0, description="of the softmax over cosines")
    hard_negatives: int = Field(
        1, ge=0, description="products per query that look right and are not: judged bad, else mined by the backbone"
    )
    chunk: int = Field(32, ge=1, description="texts encoded at once; the batch may be far larger than memory allows")
    symmetric: bool = Field(False, description="also let products find their query")


class CalibrationConfig(Section):
    """How scores become probabilities, fitted on the validation split."""

    method: Literal["none", "temperature", "isotonic"] = "none"


class SequenceConfig(Section):
    """The self-attentive model of what comes after what."""

    hidden_size: int = Field(64, ge=8)
    layers: int = Field(2, ge=1)
    heads: int = Field(2, ge=1, description="of attention")
    dropout: float = Field(0.5, ge=0, lt=1)
    max_items: int = Field(50, ge=1, description="newest items of a history that are read")
    use_ids: bool = Field(True, description="a learned vector per product")
    use_text: bool = Field(True, description="a projection of the frozen vector of a product's text")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    negatives: int = Field(0, ge=0, description="products drawn for the softmax of a batch; 0: the whole catalogue")

    @model_validator(mode="after")
    def _some_vector(self) -> "SequenceConfig":
        if not (self.use_ids or self.use_text):
            raise ValueError("use_ids and use_text are both false: a product needs a vector")
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of heads {self.heads}")
        if self.negatives and self.label_smoothing:
            raise ValueError("label_smoothing is over the whole catalogue: set it or negatives")
        return self


class TransitionConfig(Section):
    """Counts of what was taken after what, beside the model: score = logit + weight * log(count + 0.1)."""

    window: int = Field(10, ge=0, description="steps from one item to another that still count; 0: no counts")
    step_decay: float = Field(0.7, gt=0, le=1, description="what each further step between two items counts")
    reverse: float = Field(0.1, ge=0, le=1, description="what the opposite order counts")
    history_decay: float = Field(0.3, gt=0, le=1, description="what each older item of a history counts")
    text_neighbours: int = Field(0, ge=0, description="products of the most similar text that count as if seen next")
    text_weight: float = Field(3.0, ge=0, description="counts that a neighbour of equal text stands for")
    weight: float | None = Field(None, ge=0, description="of a count's log; absent: fitted on the validation split")
