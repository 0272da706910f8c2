import random

import numpy as np
import pytest
import torch
from transformers import BertConfig

from planogram.models.backbone import build_backbone
from planogram.models.heads import CrossEncoder, parameter_groups, pool, seed_everything
from planogram.models.linears import parameter_counts

WIDTH = 16


def _model(pooling="pair", heads=("relevance",), **architecture) -> CrossEncoder:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50,
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        **architecture,
    )
    return CrossEncoder(build_backbone(config), heads, pooling, dropout=0.1).eval()


def _inputs(lengths=((3, 4), (2, 2)), pad_to=10) -> tuple[torch.Tensor, ...]:
    """Pairs of (query, product) token counts, padded."""
    ids, mask, types = (torch.zeros(len(lengths), pad_to, dtype=torch.int64) for _ in range(3))
    for row, (query, product) in enumerate(lengths):
        ids[row, : query + product] = torch.arange(5, 5 + query + product) + row
        mask[row, : query + product] = 1
        types[row, query : query + product] = 1
    return ids, mask, types


def _hidden(rows=2, tokens=10) -> torch.Tensor:
    return torch.randn(rows, tokens, WIDTH, generator=torch.Generator().manual_seed(1))


def test_cls_pooling_is_the_first_token():
    hidden = _hidden()
    _, mask, types = _inputs()
    assert torch.equal(pool(hidden, mask, types, "cls"), hidden[:, 0])


def test_mean_pooling_leaves_padding_out():
    hidden = _hidden()
    _, mask, types = _inputs()
    pooled = pool(hidden, mask, types, "mean")
    torch.testing.assert_close(pooled[0], hidden[0, :7].mean(0))
    torch.testing.assert_close(pooled[1], hidden[1, :4].mean(0))


def test_pair_pooling_compares_unit_means_of_query_and_product():
    hidden = _hidden()
    _, mask, types = _inputs()
    pooled = pool(hidden, mask, types, "pair")
    assert pooled.shape == (2, 3 * WIDTH)
    for row, (query, product) in enumerate(((3, 4), (2, 2))):
        u, v = hidden[row, :query].mean(0), hidden[row, query : query + product].mean(0)
        u, v = u / u.norm(), v / v.norm()
        mean = hidden[row, : query + product].mean(0)
        torch.testing.assert_close(pooled[row], torch.cat([u * v, (u - v).abs(), mean]))


@pytest.mark.parametrize("pooling", ["cls", "mean", "pair"])
def test_what_stands_in_the_padding_does_not_matter(pooling):
    model = _model(pooling)
    ids, mask, types = _inputs()
    expected = model(ids, mask, types)
    other = torch.where(mask.bool(), ids, 49)
    torch.testing.assert_close(model(other, mask, types), expected)
    wider = model(*_inputs(pad_to=20))
    torch.testing.assert_close(wider, expected, atol=1e-5, rtol=1e-5)


def test_an_empty_product_gives_a_finite_logit():
    assert torch.isfinite(_model()(*_inputs(((3, 0),)))).all()


@pytest.mark.parametrize("pooling", ["cls", "mean", "pair"])
def test_logits_have_a_column_per_head(pooling):
    model = _model(pooling, ("relevance", "click", "purchase"))
    assert model(*_inputs()).shape == (2, 3)
    assert model.head_names == ("relevance", "click", "purchase")


def test_backbones_without_token_types_are_not_given_any():
    model = _model(type_vocab_size=1)
    assert not model.takes_types
    assert torch.isfinite(model(*_inputs())).all()


def test_token_types_reach_the_backbone():
    model = _model("cls")
    ids, mask, types = _inputs()
    assert not torch.allclose(model(ids, mask, types), model(ids, mask, torch.zeros_like(types)))


def test_an_untrained_pair_head_ranks_by_similarity():
    """The first epoch starts from the encoder's own cosine, not from noise."""
    model = _model()
    generator = torch.Generator().manual_seed(3)
    u = torch.nn.functional.normalize(torch.randn(200, WIDTH, generator=generator), dim=-1)
    v = torch.nn.functional.normalize(u + torch.randn(200, WIDTH, generator=generator), dim=-1)
    features = torch.cat([u * v, (u - v).abs(), torch.zeros(200, WIDTH)], dim=-1)
    logits = model.heads(features)[:, 0].detach()
    cosine = (u * v).sum(-1)
    assert torch.corrcoef(torch.stack([logits, cosine]))[0, 1] > 0.99


def test_every_parameter_is_in_one_group_with_its_rate_and_decay():
    model = _model()
    groups = parameter_groups(model, 1e-4, 1e-3, 0.01)
    where = {id(parameter): group for group in groups for parameter in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(where) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        group = where[id(parameter)]
        assert group["lr"] == (1e-3 if name.startswith("heads.") else 1e-4), name
        decays = not (name.endswith("bias") or "LayerNorm" in name)
        assert group["weight_decay"] == (0.01 if decays else 0.0), name


def test_frozen_parameters_are_neither_trained_nor_counted():
    model = _model()
    for parameter in model.backbone.parameters():
        parameter.requires_grad = False
    trained = [p for group in parameter_groups(model, 1e-4, 1e-3, 0.01) for p in group["params"]]
    assert len(trained) == 2
    trainable, total = parameter_counts(model)
    assert trainable == 3 * WIDTH + 1
    assert total == trainable + sum(parameter.numel() for parameter in model.backbone.parameters())


def test_seeds_repeat_and_ranks_differ():
    def draw(seed: int, rank: int) -> tuple[float, float, float]:
        seed_everything(seed, rank)
        return random.random(), float(np.random.random()), float(torch.rand(()))

    assert draw(5, 0) == draw(5, 0)
    for other in (draw(5, 1), draw(6, 0)):
        assert all(a != b for a, b in zip(draw(5, 0), other, strict=True))
