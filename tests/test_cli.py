"""The command: help with examples, and errors without tracebacks."""

import sys

import pytest
import typer
from typer.testing import CliRunner

from planogram import cli

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
