"""Where the examples of an evaluation come from: as the bundle says that it was trained."""

from planogram.config import ClickConfig, EvaluateConfig, SplitConfig, TextConfig, TowerConfig
from planogram.data.examples import Source
from planogram.errors import ConfigError
from planogram.registry.bundle import BundleManifest
from planogram.section import parse


def source_of(manifest: BundleManifest, config: EvaluateConfig) -> Source:
    """Examples as the bundle was trained on."""
    trained = manifest.lineage.get("config", {})
    text = parse(TextConfig, trained.get("text", {}), "the bundle's lineage")
    written = {"fields": manifest.text_fields, "language": manifest.text_language, "season": manifest.text_season}
    return Source(
        shop=config.shop,
        text=text.model_copy(update=written),
        split=config.split or _split_of(manifest, config),
        clicks=config.clicks or parse(ClickConfig, trained.get("clicks", {}), "the bundle's lineage"),
        tower=parse(TowerConfig, trained.get("tower", {}), "the bundle's lineage"),
        part=config.part,
    )


def _split_of(manifest: BundleManifest, config: EvaluateConfig) -> SplitConfig:
    trained = manifest.lineage.get("config", {}).get("split")
    if trained is None and config.part != "all":
        raise ConfigError(
            f"{config.bundle} does not say how its data was split", remedy="give the split, or set part=all"
        )
    return parse(SplitConfig, trained or {}, "the bundle's lineage")
