"""Sections of a report that say what a bundle is, where it comes from, and what became of it."""

from collections.abc import Sequence
from typing import Any

from planogram.card.html import note, picture, section, table
from planogram.registry.audit import Move
from planogram.registry.bundle import BundleManifest
from planogram.registry.store import ModelVersion

# Of a lineage: keys that say more than they take room; the configuration is summed up.
CONFIG_KEYS = ("task", "auxiliary", "split", "backbone", "loss", "adapter", "clicks", "distill")


def about(version: ModelVersion, manifest: BundleManifest) -> str:
    """What it is."""
    rows = [
        ["model", version.reference if version.version else manifest.name],
        ["aliases", ", ".join(version.aliases) or "none"],
        ["published", version.created_at or "not published"],
        ["digest", version.digest],
        ["heads", ", ".join(head.name for head in manifest.heads)],
        ["backbone", manifest.backbone],
        ["reads", ", ".join(manifest.text_fields)],
        ["longest input", f"{manifest.max_tokens} tokens"],
        ["engines", ", ".join(["torch", *manifest.engines])],
    ]
    return table(("what it is", ""), rows, numbers=False)


def lineage(manifest: BundleManifest) -> str:
    """Where it comes from."""
    said = {name: value for name, value in manifest.lineage.items() if name != "config"}
    trained = manifest.lineage.get("config", {})
    said |= {f"trained with {name}": trained[name] for name in CONFIG_KEYS if trained.get(name)}
    rows = [[name, _words(value)] for name, value in said.items()]
    return section("Where it comes from", table(("", "value"), rows, numbers=False))


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_words(item)}" for name, item in value.items())
    return ", ".join(map(_words, value)) if isinstance(value, list | tuple) else str(value)


def parity(manifest: BundleManifest) -> str:
    """Whether faster engines rank as the trained model does."""
    rows = [
        [
            name,
            "FAIL" if found.faults else "PASS",
            f"{found.max_difference:.4f}",
            f"{found.kendall_tau:.4f}",
            "" if found.ndcg_change is None else f"{found.ndcg_change:+.4f}",
            "; ".join(found.faults),
        ]
        for name, found in manifest.engines.items()
    ]
    header = ("engine", "status", "largest difference", "Kendall's tau", "change of NDCG", "beyond its tolerance")
    return section("Do faster engines rank alike?", table(header, rows, numbers=False))


def pareto(png: bytes | None) -> str:
    """Speed against quality, where a benchmark of engines measured this bundle."""
    why = note("Each point is the model on an engine; the line joins those that none beats in both.")
    return section("Speed and quality", why, picture(png, "speed against quality")) if png else ""


def history(moves: Sequence[Move], version: int) -> str:
    """What became of it, and what a gate said."""
    rows = [
        [row["time"][:16], row["actor"], row["action"], row["alias"], row["reason"], row["gate"], row["forced"]]
        for row in (move.row() for move in moves if move.version == version)
    ]
    header = ("when", "who", "what", "alias", "why", "the gate said", "forced, because")
    return section("What became of it", table(header, rows, numbers=False))
