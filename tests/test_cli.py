"""The command: help with examples, and errors without tracebacks."""

import sys

import pytest
import typer
from typer.testing import CliRunner

from planogram import cli
from planogram.cli.show import MOST_COLUMNS, show_rows

GROUP = typer.main.get_command(cli.app)


def verbs(command, path=()):
    for name, child in getattr(command, "commands", {}).items():
        if hasattr(child, "commands"):
            yield from verbs(child, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("verb", list(verbs(GROUP)), ids=" ".join)
def test_every_verb_has_help_with_an_example(verb):
    result = CliRunner().invoke(cli.app, [*verb, "--help"])
    assert result.exit_code == 0
    assert f"Example: planogram {' '.join(verb)}" in " ".join(result.output.split())


def test_an_error_is_a_message_and_status_2(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["planogram", "finetune", "--set", "shp=x"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert "did you mean 'shop'?" in message
    assert "Traceback" not in message


def test_few_rows_of_many_keys_stand_in_columns(capsys):
    keys = [f"metric_{number}" for number in range(MOST_COLUMNS + 1)]
    show_rows([dict.fromkeys(keys, 0.25), dict.fromkeys(keys, 0.75)], as_json=False)
    lines = [line for line in capsys.readouterr().out.splitlines() if "metric" in line]
    assert len(lines) == len(keys)
    assert all("0.2500" in line and "0.7500" in line for line in lines)


def test_rows_of_few_keys_stand_in_lines(capsys):
    show_rows([{"step": 0, "auc": 0.5}, {"step": 7, "auc": 0.75}], as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert any("step" in line and "auc" in line for line in lines)
    assert any("7" in line and "0.7500" in line for line in lines)
