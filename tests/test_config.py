import pytest
from pydantic import ValidationError

from planogram import section
from planogram.config import EvaluateConfig, FinetuneConfig, SimulateConfig, TrainConfig
from planogram.errors import ConfigError, NotFoundError
from planogram.section import load


def _refused(overrides, cls=FinetuneConfig) -> str:
    with pytest.raises(ConfigError) as error:
        load(cls, None, ["shop=s", *overrides] if cls is FinetuneConfig else overrides)
    assert error.value.remedy
    return str(error.value)


def test_an_unknown_key_names_the_valid_ones_and_the_nearest():
    message = _refused(["train.epoch=2"])
    assert "train.epoch is not a key" in message
    assert "did you mean 'epochs'" in message
    for key in TrainConfig.model_fields:
        assert key in message


def test_an_unknown_section_names_the_sections():
    message = _refused(["optimiser.learning_rate=1e-4"])
    assert "did you mean 'optimizer'" in message
    assert "backbone" in message


def test_an_unknown_key_of_an_optional_section():
    message = _refused(["bundle=b", "shop=s", "split.fald=1"], EvaluateConfig)
    assert "did you mean 'fold'" in message


def test_every_problem_is_named_at_once():
    message = _refused(["train.epochs=0", "split.by=row", "nonsense=1"])
    assert "train.epochs" in message
    assert "split.by" in message
    assert "'query'" in message
    assert "nonsense" in message


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        ("train.epochs=two", "'two'"),
        ("train.epochs=1.5", "1.5"),
        ("train.epochs='1'", "'1'"),
        ("train.epochs=true", "True"),
        ("launch.gpu=1", "not 1"),
        ("backbone.dropout=1", "not 1"),
        ("split.valid_share=0", "not 0"),
        ("optimizer.learning_rate=-1", "-1"),
        ("optimizer.learning_rate=.nan", "nan"),
        ("task=love", "'love'"),
        ("text.fields=title", "'title'"),
        ("train=3", "not 3"),
    ],
)
def test_values_are_checked_and_never_coerced(override, shown):
    message = _refused([override])
    assert override.partition("=")[0] in message
    assert shown in message


def test_rules_over_several_keys():
    assert "folds are 0 to 4" in _refused(["split.fold=5"])
    assert "every loss has weight 0" in _refused(["loss.bce=0"])


def test_categories_of_the_tower_are_features():
    assert "categories names browser" in _refused(["tower.features=[month]", "tower.categories=[month, browser]"])


def test_a_missing_key_is_named():
    with pytest.raises(ConfigError, match="shop is missing"):
        load(FinetuneConfig)


def test_overrides_nest_read_yaml_and_the_last_one_wins():
    made = load(
        FinetuneConfig,
        None,
        [
            "shop=s",
            "train.epochs=2",
            "train.epochs=3",
            "text.fields=[title, brand]",
            "train.max_steps=null",
            "launch.gpu=true",
            "optimizer={learning_rate: 2e-5, schedule: cosine}",
            "optimizer.clip_norm=2",
            "name=a=b",
        ],
    )
    assert made.train.epochs == 3
    assert made.train.max_steps is None
    assert made.train.micro_batch == TrainConfig().micro_batch
    assert made.text.fields == ("title", "brand")
    assert made.launch.gpu is True
    assert made.optimizer.learning_rate == 2e-5
    assert (made.optimizer.schedule, made.optimizer.clip_norm) == ("cosine", 2.0)
    assert made.name == "a=b"


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "1.e-4", "1.0e-4", "0.0001", "+1e-4"])
def test_a_number_with_an_exponent_is_a_number(text, tmp_path):
    assert load(FinetuneConfig, None, ["shop=s", f"optimizer.learning_rate={text}"]).optimizer.learning_rate == 1e-4
    path = tmp_path / "c.yaml"
    path.write_text(f"shop: s\noptimizer:\n  learning_rate: {text}\n")
    assert load(FinetuneConfig, str(path)).optimizer.learning_rate == 1e-4


@pytest.mark.parametrize("text", ["1e", "e4", "1e4x", "v1e-4"])
def test_other_words_with_an_e_stay_text(text):
    assert load(FinetuneConfig, None, ["shop=s", f"name={text}"]).name == text


@pytest.mark.parametrize("override", ["train.epochs", "=1", ".epochs=1", "train.=1", "train..epochs=1", ""])
def test_an_override_without_key_or_value_is_refused(override):
    assert "a.b=value" in _refused([override])


def test_an_override_below_a_value_is_refused():
    assert "'name' is not a section" in _refused(["name=x", "name.y=1"])


def test_an_override_that_is_not_yaml_is_refused():
    assert "not valid YAML" in _refused(["name=[a"])


def test_a_file_with_overrides_on_top(tmp_path):
    path = tmp_path / "finetune.yaml"
    path.write_text("shop: s\ntrain:\n  epochs: 2\n  seed: 5\n")
    made = load(FinetuneConfig, str(path), ["train.epochs=4"])
    assert (made.train.epochs, made.train.seed) == (4, 5)


def test_problems_of_a_file_name_the_file(tmp_path):
    path = tmp_path / "finetune.yaml"
    path.write_text("shop: s\nepochs: 2\n")
    with pytest.raises(ConfigError, match=r"finetune\.yaml"):
        load(FinetuneConfig, str(path))


@pytest.mark.parametrize("content", ["- a\n", "just text", "a: [", "a: !!python/object/apply:os.getcwd []"])
def test_a_file_that_is_not_a_mapping_is_refused(tmp_path, content):
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        section.read_yaml(str(path))


def test_an_empty_file_is_the_defaults_and_an_absent_one_an_error(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("# nothing\n")
    assert load(SimulateConfig, str(path)) == SimulateConfig()
    with pytest.raises(NotFoundError, match=r"absent\.yaml"):
        load(SimulateConfig, str(tmp_path / "absent.yaml"))


def test_nothing_changes_later():
    made = load(FinetuneConfig, None, ["shop=s"])
    with pytest.raises(ValidationError, match="frozen"):
        made.train.epochs = 3
    with pytest.raises(ValidationError, match="frozen"):
        made.name = "other"


def test_a_configuration_survives_json():
    """A run's configuration is written to its folder and read back from a bundle's lineage."""
    made = load(FinetuneConfig, None, ["shop=s", "text.fields=[title]", "train.max_steps=7"])
    assert FinetuneConfig.model_validate(made.model_dump(mode="json")) == made
