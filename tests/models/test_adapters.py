import copy
import subprocess
import sys

import pytest
import torch
from transformers import BertConfig, ElectraConfig, GPT2Config, LlamaConfig, ModernBertConfig

from planogram.config import AdapterConfig
from planogram.errors import ConfigError, IntegrityError, TrainingError
from planogram.models import adalora
from planogram.models.adalora import allocate, regularizer, schedule
from planogram.models.adapters import (
    adapt,
    base_digest,
    check_stage,
    load_adapter,
    merge,
    mergeable,
    trainable_share,
    trainable_state,
)
from planogram.models.backbone import build_backbone
from planogram.models.linears import features, is_quantized, linear_layers

METHODS = ("lora", "rslora", "dora", "adalora", "ia3", "prefix", "houlsby")
MERGE = ("lora", "rslora", "dora", "adalora", "ia3")
FAMILIES = ("bert", "gpt2")
OTHERS = ("electra", "llama", "modernbert")
VOCABULARY = 60
COMMON = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}


@pytest.fixture(autouse=True)
def _one_thread():
    """Tiny matrices gain nothing from more, and lose much where processors are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _architecture(family):
    if family == "gpt2":
        dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        return GPT2Config(vocab_size=VOCABULARY, n_embd=64, n_layer=2, n_head=4, n_positions=64, **dropout)
    sizes = {"vocab_size": VOCABULARY, "max_position_embeddings": 64, **COMMON}
    if family == "llama":
        return LlamaConfig(num_key_value_heads=2, **sizes)
    if family == "modernbert":
        special = dict.fromkeys(("pad_token_id", "cls_token_id", "sep_token_id", "bos_token_id", "eos_token_id"), 0)
        return ModernBertConfig(**sizes, **special)
    config = {"bert": BertConfig, "electra": ElectraConfig}[family]
    return config(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **sizes)


def _plain(family="bert", seed=0):
    torch.manual_seed(seed)
    backbone = build_backbone(_architecture(family)).eval()
    with torch.no_grad():  # a new model's biases and small weights would hide mistakes
        for parameter in backbone.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return backbone


def _config(method, base="fp32", **values):
    return AdapterConfig(method=method, base=base, rank=4, bottleneck=6, prefix_tokens=5, **values)


def _adapted(method, family="bert", base="fp32", seed=0):
    backbone = _plain(family)
    torch.manual_seed(seed)
    adapt(backbone, _config(method, base))
    return backbone


def _inputs(rows=3, tokens=9, pad=0):
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(1, VOCABULARY, (rows, tokens), generator=generator)
    mask = torch.ones_like(ids)
    return {
        "input_ids": torch.nn.functional.pad(ids, (0, pad)),
        "attention_mask": torch.nn.functional.pad(mask, (0, pad)),
    }


def _output(backbone, **inputs):
    return backbone(**(inputs or _inputs())).last_hidden_state


def _loss(backbone):
    target = torch.randn(3, 9, 64, generator=torch.Generator().manual_seed(7))
    return ((_output(backbone) - target) ** 2).mean()


def _train(backbone, steps=12, rate=0.02):
    """Adam steps on a toy loss: its values."""
    optimizer = torch.optim.Adam([p for p in backbone.parameters() if p.requires_grad], lr=rate)
    losses = []
    for step in range(1, steps + 1):
        loss = _loss(backbone) + regularizer(backbone) * 0.1
        optimizer.zero_grad()
        loss.backward()
        allocate(backbone, step, steps)
        optimizer.step()
        losses.append(_loss(backbone).item())
    return losses


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_only_the_adapters_train_and_the_loss_falls(method, family):
    backbone = _adapted(method, family)
    before = copy.deepcopy(backbone.state_dict())
    digest = base_digest(backbone)
    losses = _train(backbone)
    assert losses[-1] < losses[0]
    state = trainable_state(backbone)
    trainable = {name for name, parameter in backbone.named_parameters() if parameter.requires_grad}
    assert trainable == set(state)
    assert base_digest(backbone) == digest == base_digest(_plain(family))
    assert all(not torch.equal(backbone.state_dict()[name], before[name]) for name in trainable)
    assert 0 < trainable_share(backbone) < 0.5


@pytest.mark.parametrize("family", FAMILIES + OTHERS)
@pytest.mark.parametrize("method", ["head", *(name for name in METHODS if name != "prefix")])
def test_outputs_are_at_first_those_of_the_base(method, family):
    expected = _output(_plain(family))
    torch.testing.assert_close(_output(_adapted(method, family)), expected, atol=1e-5, rtol=1e-5)


def test_none_changes_nothing_and_head_freezes_everything():
    backbone = _plain()
    adapt(backbone, AdapterConfig())
    assert trainable_share(backbone) == 1
    adapt(backbone, _config("head"))
    assert trainable_share(backbone) == 0
    assert trainable_state(backbone) == {}
    load_adapter(backbone, {})


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_an_adapter_survives_the_round_trip(method, family):
    backbone = _adapted(method, family)
    _train(backbone)
    state = trainable_state(backbone)
    assert all(tensor.dtype == torch.float32 and tensor.is_contiguous() for tensor in state.values())
    other = _adapted(method, family, seed=1)
    assert not torch.allclose(_output(other), _output(backbone), atol=1e-3)
    load_adapter(other, state)
    torch.testing.assert_close(_output(other), _output(backbone))
    assert trainable_state(other).keys() == state.keys()


@pytest.mark.parametrize("method", METHODS)
def test_what_does_not_fit_is_refused_and_not_loaded(method):
    backbone = _adapted(method)
    good = trainable_state(backbone)
    name = sorted(good)[0]
    bad = [
        {**good, "unknown.weight": torch.zeros(1)},
        {key: value for key, value in good.items() if key != name},
        {**good, name: torch.zeros(2, 3)},
        {**good, name: torch.full_like(good[name], float("nan"))},
    ]
    for state in bad:
        with pytest.raises(IntegrityError):
            load_adapter(backbone, {key: value + 1 for key, value in state.items()})
    assert all(torch.equal(value, good[key]) for key, value in trainable_state(backbone).items())


@pytest.mark.parametrize("family", FAMILIES + OTHERS)
@pytest.mark.parametrize("method", MERGE)
def test_merging_gives_a_plain_backbone_with_the_same_outputs(method, family):
    backbone = _adapted(method, family)
    _train(backbone)
    backbone.eval()
    expected = _output(backbone)
    merge(backbone, _config(method))
    plain = _plain(family)
    assert backbone.state_dict().keys() == plain.state_dict().keys()
    assert not any(module._forward_hooks for module in backbone.modules())
    torch.testing.assert_close(_output(backbone), expected, atol=1e-5, rtol=1e-5)
    plain.load_state_dict(backbone.state_dict())
    torch.testing.assert_close(_output(plain), expected, atol=1e-5, rtol=1e-5)
    assert trainable_share(backbone) == 1


@pytest.mark.parametrize("method", ["prefix", "houlsby"])
def test_prefix_and_houlsby_are_kept_apart(method):
    assert not mergeable(_config(method))
    with pytest.raises(ConfigError, match="keep base and adapter apart"):
        merge(_adapted(method), _config(method))


# Other architectures.


@pytest.mark.parametrize("family", OTHERS)
@pytest.mark.parametrize("method", METHODS)
def test_other_architectures_train_too(method, family):
    losses = _train(_adapted(method, family), steps=8)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("method", ["prefix", "houlsby"])
def test_an_architecture_that_is_not_known_is_refused(method):
    backbone = _plain()
    backbone.config.model_type = "strange"
    for layer in backbone.encoder.layer:
        layer.attention.self.forward = lambda hidden, *_, **__: (hidden, None)
        layer.output.dense.out_features = 31
    with pytest.raises(ConfigError, match="strange"):
        adapt(backbone, _config(method))
    assert backbone.config._attn_implementation == "sdpa"


# Prefix.


@pytest.mark.parametrize("family", FAMILIES + OTHERS)
def test_padding_does_not_reach_a_prefixed_text(family):
    backbone = _adapted("prefix", family)
    _train(backbone, steps=3)
    backbone.eval()
    padded = _output(backbone, **_inputs(pad=6))
    torch.testing.assert_close(padded[:, :9], _output(backbone), atol=1e-5, rtol=1e-5)
    other = _inputs(pad=6)
    other["input_ids"][:, 9:] = 3
    torch.testing.assert_close(_output(backbone, **other)[:, :9], padded[:, :9])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prefix_is_seen_by_every_token_and_is_what_attention_over_more_keys_gives(family):
    """Against attention written out, in the first layer."""
    backbone = _adapted("prefix", family)
    layer = backbone.encoder.layer[0].attention.self if family == "bert" else backbone.h[0].attn
    caught = {}
    layer.register_forward_hook(
        lambda _, args, kwargs, output: caught.update(hidden=args[0], output=output[0]), with_kwargs=True
    )
    _output(backbone)
    hidden = caught["hidden"]
    if family == "bert":
        query, key, value = layer.query(hidden), layer.key(hidden), layer.value(hidden)
    else:
        query, key, value = layer.c_attn(hidden).split(64, dim=2)
    query, key, value = (tensor.view(3, 9, 4, 16).transpose(1, 2) for tensor in (query, key, value))
    key, value = (
        torch.cat([prefix.expand(3, -1, -1, -1), text], dim=2)
        for prefix, text in ((layer.prefix.key, key), (layer.prefix.value, value))
    )
    logits = query @ key.transpose(2, 3) / 16**0.5
    if family == "gpt2":
        future = torch.ones(9, 9).triu(1).bool()
        logits[..., 5:] = logits[..., 5:].masked_fill(future, float("-inf"))
    expected = (logits.softmax(-1) @ value).transpose(1, 2).reshape(3, 9, 64)
    expected = layer.c_proj(expected) if family == "gpt2" else expected
    torch.testing.assert_close(caught["output"], expected, atol=1e-5, rtol=1e-5)


def test_the_architecture_of_a_prefixed_backbone_is_written_as_before():
    assert _adapted("prefix").config.to_json_string() == _plain().config.to_json_string()


def test_more_prefix_tokens_than_positions_are_refused():
    with pytest.raises(ConfigError, match="1 to 64"):
        adapt(_plain(), AdapterConfig(method="prefix", prefix_tokens=65))


# AdaLoRA.


def test_adalora_ends_with_the_mean_rank_and_starts_half_as_high_again():
    backbone = _adapted("adalora")
    masks = [update.mask for update in adalora.adaloras(backbone)]
    assert len(masks) == 4
    assert sum(mask.sum() for mask in masks) == 4 * 6
    _train(backbone, steps=20)
    assert sum(update.mask.sum() for update in adalora.adaloras(backbone)) == 4 * 4
    ranks = [int((tensor != 0).sum()) for name, tensor in trainable_state(backbone).items() if "values" in name]
    assert sum(ranks) == 16


def test_the_budget_only_falls_and_stands_still_at_the_end():
    backbone = _adapted("adalora")
    budgets, masks = [], []
    optimizer = torch.optim.Adam([p for p in backbone.parameters() if p.requires_grad], lr=0.02)
    for step in range(1, 41):
        optimizer.zero_grad()
        _loss(backbone).backward()
        allocate(backbone, step, 40)
        optimizer.step()
        masks.append(torch.cat([update.mask for update in adalora.adaloras(backbone)]).clone())
        budgets.append(int(masks[-1].sum()))
    start, end = schedule(40)
    assert (start, end) == (4, 20)
    assert budgets[start - 1] == 24
    assert budgets == sorted(budgets, reverse=True)
    assert budgets[end - 1] == 16
    assert all(torch.equal(mask, masks[end - 1]) for mask in masks[end - 1 :])


@pytest.mark.parametrize("total_steps", [1, 2, 3, 5])
def test_short_runs_reach_the_rank_too(total_steps):
    backbone = _adapted("adalora")
    _train(backbone, steps=total_steps)
    assert sum(update.mask.sum() for update in adalora.adaloras(backbone)) == 16


def test_the_triplets_that_matter_are_kept():
    backbone = _adapted("adalora")
    updates = adalora.adaloras(backbone)
    for update in updates:
        for name in adalora.FACTORS:
            getattr(update, f"importance_{name}").fill_(1.0)
            getattr(update, f"uncertainty_{name}").fill_(1.0)
    for update in updates[1:]:
        update.importance_values[:2] = 0.5
    updates[0].importance_values[3:5] = 0.1
    for update in updates:  # observing moves all scores alike
        for name in adalora.FACTORS:
            getattr(update, name).grad = torch.zeros_like(getattr(update, name))
    allocate(backbone, 5, 10)
    assert updates[0].mask.tolist() == [1, 1, 1, 0, 0, 1]
    assert all(update.mask.tolist() == [0, 0, 1, 1, 1, 1] for update in updates[1:])


def test_a_masked_triplet_adds_nothing_but_learns():
    backbone = _adapted("adalora")
    _train(backbone, steps=3)
    update = adalora.adaloras(backbone)[0]
    update.mask.zero_()
    with torch.no_grad():
        update.values.fill_(2.0)
    hidden = torch.randn(2, 64)
    assert not update(hidden).any()
    assert not update.delta().any()
    update.values.grad = None
    update(hidden).sum().backward()
    assert update.values.grad.abs().min() > 0


def test_a_resumed_adalora_run_is_the_uninterrupted_one():
    def run(backbone, optimizer, steps):
        for step in steps:
            optimizer.zero_grad()
            (_loss(backbone) + regularizer(backbone)).backward()
            allocate(backbone, step, 20)
            optimizer.step()

    def start(seed):
        backbone = _adapted("adalora", seed=seed)
        return backbone, torch.optim.Adam([p for p in backbone.parameters() if p.requires_grad], lr=0.02)

    whole, optimizer = start(0)
    run(whole, optimizer, range(1, 16))
    first, optimizer = start(0)
    run(first, optimizer, range(1, 6))
    second, fresh = start(1)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    fresh.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(second, fresh, range(6, 16))
    assert second.state_dict().keys() == whole.state_dict().keys()
    assert all(torch.equal(tensor, whole.state_dict()[name]) for name, tensor in second.state_dict().items())


def test_allocating_without_gradients_is_an_error_and_without_adalora_nothing():
    with pytest.raises(TrainingError, match="after backward"):
        allocate(_adapted("adalora"), 1, 10)
    allocate(_adapted("lora"), 1, 10)


def test_the_regularizer_falls_to_zero_at_orthogonality_and_is_zero_elsewhere():
    assert regularizer(_adapted("lora")) == 0
    backbone = _adapted("adalora")
    assert regularizer(backbone) > 0.5
    with torch.no_grad():
        for update in adalora.adaloras(backbone):
            torch.nn.init.orthogonal_(update.left)
            torch.nn.init.orthogonal_(update.right)
    assert regularizer(backbone) < 1e-5


@pytest.mark.parametrize("method", ["adalora", "lora"])
def test_zero_3_is_refused_where_weights_must_be_whole(method):
    check_stage(_config(method), 2)
    check_stage(_config("lora"), 3)
    check_stage(AdapterConfig(), 3)
    with pytest.raises(ConfigError, match="zero_stage=2"):
        check_stage(_config(method, base="nf4" if method == "lora" else "fp32"), 3)


# Quantized bases.


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("base", ["nf4", "int8"])
@pytest.mark.parametrize("method", ["head", *METHODS])
def test_a_quantized_base_runs_and_its_adapters_train(method, base, family):
    pytest.importorskip("bitsandbytes")
    backbone = _adapted(method, family, base)
    assert is_quantized(backbone)
    with torch.no_grad():  # validation before training, as the loop does
        _output(backbone)
    if method != "head":
        losses = _train(backbone.train(), steps=8)
        assert losses[-1] < losses[0]
        assert trainable_state(backbone).keys() == trainable_state(_adapted(method, family)).keys()
    with pytest.raises(ConfigError, match="before adapt"):
        base_digest(backbone)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", MERGE)
def test_an_adapter_of_a_quantized_base_merges_into_the_float32_one(method, family):
    pytest.importorskip("bitsandbytes")
    quantized = _adapted(method, family, "nf4")
    _train(quantized)
    with pytest.raises(ConfigError, match="float32 base"):
        merge(quantized, _config(method, "nf4"))
    backbone = _adapted(method, family)
    load_adapter(backbone, trainable_state(quantized))
    expected = _output(backbone)
    merge(backbone, _config(method))
    torch.testing.assert_close(_output(backbone), expected, atol=1e-5, rtol=1e-5)
    close = torch.nn.functional.cosine_similarity(_output(backbone), _output(quantized), dim=-1)
    assert close.mean() > 0.9


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("base", "error"), [("nf4", 0.15), ("int8", 0.02)])
def test_quantized_layers_compute_nearly_what_the_plain_ones_do(base, error, family):
    pytest.importorskip("bitsandbytes")
    layers = linear_layers(_plain(family)), linear_layers(_adapted("head", family, base))
    assert [name for name, _ in layers[0]] == [name for name, _ in layers[1]]
    for (_, plain), (_, quantized) in zip(*layers, strict=True):
        assert features(plain) == features(quantized)
        hidden = torch.randn(50, features(plain)[0])
        expected = plain(hidden)
        assert (quantized(hidden) - expected).norm() / expected.norm() < error


@pytest.mark.parametrize("base", ["nf4", "int8"])
@pytest.mark.parametrize("method", ["lora", "adalora", "prefix", "houlsby"])
def test_the_state_of_a_quantized_backbone_is_the_rest_and_loads_after_use(method, base):
    pytest.importorskip("bitsandbytes")
    backbone, other = _adapted(method, base=base), _adapted(method, base=base, seed=1)
    _train(backbone, steps=3)
    _output(other)
    state = backbone.state_dict()
    assert set(trainable_state(backbone)) < set(state)
    assert not any("dense.weight" in name for name in state)
    missing, unexpected = other.load_state_dict(state, strict=False)
    assert not unexpected
    assert not set(missing) & set(trainable_state(backbone))
    torch.testing.assert_close(_output(other), _output(backbone))


def test_nf4_leaves_layers_of_odd_width_alone():
    """bitsandbytes' CPU kernel would return wrong weights for them."""
    pytest.importorskip("bitsandbytes")
    torch.manual_seed(0)
    sizes = {**COMMON, "intermediate_size": 96, "vocab_size": VOCABULARY}
    backbone = build_backbone(BertConfig(**sizes)).eval()
    expected = copy.deepcopy(backbone.encoder.layer[0].output.dense)
    adapt(backbone, _config("lora", "nf4"))
    assert type(backbone.encoder.layer[0].output.dense) is torch.nn.Linear
    hidden = torch.randn(2, 96)
    assert torch.equal(backbone.encoder.layer[0].output.dense(hidden), expected(hidden))
    odd = build_backbone(BertConfig(**{**sizes, "hidden_size": 32}))
    with pytest.raises(ConfigError, match="multiple of 64"):
        adapt(odd, _config("lora", "nf4"))


def test_nf4_weights_are_counted_whole():
    pytest.importorskip("bitsandbytes")
    assert trainable_share(_adapted("lora", base="nf4")) == pytest.approx(trainable_share(_adapted("lora")))


def test_a_missing_bitsandbytes_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ConfigError, match="pip install"):
        adapt(_plain(), _config("lora", "nf4"))


# The base.


def test_the_digest_tells_bases_apart():
    digest = base_digest(_plain())
    assert len(digest) == 64
    assert digest == base_digest(_plain())
    assert digest != base_digest(_plain(seed=1))
    for method in METHODS:
        assert base_digest(_adapted(method)) == digest


def test_importing_the_module_imports_neither_peft_nor_bitsandbytes():
    code = (
        "import sys, planogram.models.adapters; "
        "assert not {'peft', 'bitsandbytes', 'deepspeed', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
