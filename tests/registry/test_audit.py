"""What the audit says of a gate."""

from dataclasses import asdict

from planogram.registry.audit import Move

OLD = (
    '{"time": "2026-01-01T00:00:00+00:00", "actor": "ada", "action": "promote", "alias": "champion", "before": 0,'
    ' "version": 1, "reason": "first"}'
)


def test_an_entry_from_before_there_were_gates_is_read():
    move = Move.read(OLD)
    assert (move.version, move.gate, move.forced) == (1, (), "")
    assert move.row()["gate"] == ""


def test_findings_stand_in_a_row_as_words():
    findings = (
        {"rule": "quality", "verdict": "PASS", "figure": 0.0123, "limit": -0.005},
        {"rule": "parity", "verdict": "PASS", "figure": 0.25, "limit": None},
        {"rule": "slices", "verdict": "FAIL", "figure": None, "limit": -0.02},
    )
    move = Move(**{**asdict(Move.read(OLD)), "gate": findings, "forced": "accepted by ops"})
    assert move.row()["gate"] == "quality PASS (0.0123, limit -0.005), parity PASS (0.25), slices FAIL"
    assert move.row()["forced"] == "accepted by ops"
