"""The winner in the registry."""

import pytest

from planogram.errors import NotFoundError
from planogram.registry.bundle import WEIGHTS, open_bundle
from planogram.registry.store import Registry
from planogram.tune.publish import publish


def test_the_winner_is_the_candidate_and_says_which_campaign_found_it(home, bundle, config, trial, tmp_path):
    best = trial(2, 0.8, state="finished", bundle=str(bundle))
    version = publish(config(), best, 12, str(tmp_path / "campaign"))
    found = Registry().resolve("tiny@candidate")
    assert (found.reference, found.digest) == (version.reference, version.digest)
    folder, manifest = open_bundle(found.path)
    assert manifest.lineage["campaign"]["trial"] == 2
    assert manifest.lineage["campaign"]["params"] == best.params
    assert manifest.lineage["campaign"]["metrics"] == {"ndcg@10": 0.8}
    assert (folder / WEIGHTS).read_bytes() == (bundle / WEIGHTS).read_bytes()
    move = Registry().history("tiny")[-1]
    assert (move.alias, move.reason) == ("candidate", "campaign camp: trial 2 of 12, ndcg@10 0.8000")


def test_publishing_again_changes_nothing(home, bundle, config, trial, tmp_path):
    best = trial(2, 0.8, state="finished", bundle=str(bundle))
    first, second = (publish(config(), best, 12, str(tmp_path / "campaign")) for _ in range(2))
    assert first.reference == second.reference
    assert len(Registry().history("tiny")) == 2


def test_a_removed_bundle_is_no_winner(home, config, trial, tmp_path):
    with pytest.raises(NotFoundError, match="bundle of trial 2 was removed"):
        publish(config(), trial(2, 0.8, state="finished"), 12, str(tmp_path))
