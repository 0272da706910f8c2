import json
import math
from dataclasses import replace

import numpy as np
import pytest

from planogram.pricing.audit import read, verify
from planogram.pricing.chain import Head, chained
from planogram.pricing.choose import decide_all
from planogram.pricing.curve import DemandCurve
from planogram.pricing.guardrails import check_all
from planogram.pricing.item import PriceItem
from planogram.pricing.policy import PricePolicy
from planogram.pricing.replay import DecisionLog, replay

ITEMS = [
    PriceItem("a", 10.0, cost=6.1, floor=1.0, family="f", pack_size=1.0, stock=30.0, periods_left=3.0),
    PriceItem("b", 9.99, cost=5.3, floor=1.0, family="f", pack_size=2.0),
    PriceItem("c", 8.5, cost=5.0, floor=math.nan),
    PriceItem("d", math.inf),
    PriceItem("e", 7.0, cost=3.0, floor=2.0, ceiling=1e300),
]
SUBSTITUTES = {"a": {"e": 0.4}, "e": {"a": 0.3, "unknown": 1.0}}


def curves(draws: int = 5) -> list[DemandCurve]:
    rng = np.random.default_rng(3)
    return [
        DemandCurve(9.0, 3.0, e, draws=np.column_stack([rng.normal(3, 0.3, draws), rng.uniform(1.2, 4, draws)]))
        for e in (2.0, 2.5, 3.0, 1.7, 2.2)
    ]


def write(log: DecisionLog, policy: PricePolicy, switch, draws: int = 5, substitutes=None, seed: int = 0):
    own = curves(draws)
    decisions = decide_all(own, ITEMS, policy, np.random.default_rng(seed), substitutes)
    final = check_all(decisions, ITEMS, policy, switch)
    return log.append(own, ITEMS, policy, decisions, final, substitutes)


def forge(path, change) -> None:
    """Write a log anew, with hashes that fit, where `change` has changed a record."""
    records = [
        {k: v for k, v in line.items() if k not in ("sequence", "previous", "hash", "at")} for line in read(str(path))
    ]
    for record in records:
        change(record)
    path.write_bytes(b"".join(chained(records, Head())[0]))


@pytest.mark.parametrize(
    "policy",
    [
        PricePolicy(),
        PricePolicy(ladder=True, pace=True, endings=(0.99, 0.49)),
        PricePolicy(exploration="thompson", max_change=None),
        PricePolicy(exploration="epsilon", epsilon=0.9, ladder=True, objective="revenue"),
        PricePolicy(currency_step=1.0, max_change=0.5, objective="units", min_margin=0.1),
    ],
)
@pytest.mark.parametrize("substitutes", [None, SUBSTITUTES])
@pytest.mark.parametrize("draws", [0, 5])
def test_every_decision_is_made_again(tmp_path, policy, substitutes, draws, off):
    log = DecisionLog(str(tmp_path / "log"))
    for seed in range(3):
        head = write(log, policy, off, draws, substitutes, seed)
    assert replay(str(tmp_path / "log")) == []
    assert verify(str(tmp_path / "log"), head) == head.sequence


def test_a_policy_is_written_once_until_it_changes(tmp_path, off):
    log = DecisionLog(str(tmp_path / "log"))
    for policy in (PricePolicy(), PricePolicy(), PricePolicy(max_change=0.2), PricePolicy()):
        write(log, policy, off)
    kinds = [line["kind"] for line in read(str(tmp_path / "log"))]
    assert kinds.count("policy") == 3 and kinds.count("decision") == 20
    assert replay(str(tmp_path / "log")) == []


def test_the_kill_switch_is_replayed_as_it_was(tmp_path, on):
    write(DecisionLog(str(tmp_path / "log")), PricePolicy(), on)
    decided = [line for line in read(str(tmp_path / "log")) if line["kind"] == "decision"]
    assert {line["final"][0][1] for line in decided} == {"kill switch"}
    assert replay(str(tmp_path / "log")) == []


@pytest.mark.parametrize(
    ("part", "key", "field"),
    [("items", "cost", "price"), ("curves", "elasticity", "elasticity"), ("decisions", "price", "price")],
)
def test_what_was_made_of_something_else_is_named(tmp_path, off, part, key, field):
    path = tmp_path / "log"
    write(DecisionLog(str(path)), PricePolicy(max_change=None), off)

    def change(record):
        if record["kind"] == "decision" and record["items"][0]["product_id"] == "e":
            record[part][0][key] *= 1.5

    forge(path, change)
    verify(str(path))
    found = [mismatch for mismatch in replay(str(path)) if mismatch.field == field]
    assert [mismatch.product_id for mismatch in found] == ["e"]
    assert found[0].recorded != found[0].replayed and found[0].sequence == 6


def test_the_smallest_change_of_a_price_is_named(tmp_path, off):
    path = tmp_path / "log"
    write(DecisionLog(str(path)), PricePolicy(), off)

    def change(record):
        if record["kind"] == "decision" and record["final"][0][0]:
            record["final"][0][0] = math.nextafter(record["final"][0][0], 100)

    forge(path, change)
    assert {mismatch.field for mismatch in replay(str(path))} == {"final"}
    assert len(replay(str(path))) == 4


def test_numbers_that_json_has_not_are_kept_as_texts(tmp_path, off):
    write(DecisionLog(str(tmp_path / "log")), PricePolicy(), off)
    text = (tmp_path / "log").read_text()
    items = [json.loads(line)["items"][0] for line in text.splitlines()[1:]]
    assert items[2]["floor"] == "nan" and items[3] == {"product_id": "d", "current_price": "inf"}


def test_a_family_stands_in_one_line(tmp_path, off):
    log = DecisionLog(str(tmp_path / "log"))
    write(log, PricePolicy(ladder=True), off, substitutes={"a": {"e": 0.4, "c": 0.0}})
    lines = [line for line in read(str(tmp_path / "log")) if line["kind"] == "decision"]
    assert [[item["product_id"] for item in line["items"]] for line in lines] == [["a", "b", "c", "e"], ["d"]]
    assert lines[0]["substitutes"] == {"a": {"e": 0.4, "c": 0.0}}


def test_a_batch_is_longer_than_what_is_replayed_at_once(tmp_path, off):
    items = [replace(ITEMS[4], product_id=f"p{n}") for n in range(600)]
    own = curves()[:1] * 600
    decisions = decide_all(own, items, PricePolicy())
    log = DecisionLog(str(tmp_path / "log"), max_bytes=1000)
    for start in range(0, 600, 200):
        part = slice(start, start + 200)
        log.append(
            own[part],
            items[part],
            PricePolicy(),
            decisions[part],
            check_all(decisions[part], items[part], PricePolicy(), off),
        )
    assert len(list(tmp_path.glob("log.0*"))) == 2
    assert replay(str(tmp_path / "log")) == []
