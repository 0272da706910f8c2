"""README.md against the code, without running it: options exist, files exist, settings are valid."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from planogram import config, section
from planogram.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
VERBS = {
    "data simulate": config.SimulateConfig,
    "data prepare": config.ClusterConfig,
    "finetune": config.FinetuneConfig,
    "evaluate": config.EvaluateConfig,
}
JOB_VERBS = {"simulate": "data simulate", "prepare": "data prepare", "finetune": "finetune", "evaluate": "evaluate"}
# Blocks of `bash` are run by tests/e2e/test_readme.py; what `console` shows needs a cloud or `make`.
LANGUAGES = ("bash", "console")


def commands() -> list[list[str]]:
    """The words of every command, without prompts and without assignments before the command."""
    found = re.findall(rf"^```(?:{'|'.join(LANGUAGES)})\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    lines = "".join(found).replace("\\\n", " ").splitlines()
    words = [shlex.split(line.removeprefix("$ ")) for line in lines]
    return [each[1:] if re.match(r"^[A-Z_]+=", each[0]) else each for each in words]


EVERYTHING = commands()


def as_planogram(words: list[str]) -> list[str] | None:
    """The arguments of `planogram`, also of a job that stands for one of its verbs."""
    if words[0] == "planogram":
        return words[1:]
    job = next((at for at, word in enumerate(words) if word.startswith("jobs/") and words[at - 1] == "python"), None)
    return None if job is None else [*JOB_VERBS[Path(words[job]).stem].split(), *words[job + 1 :]]


CALLS = [arguments for words in EVERYTHING if (arguments := as_planogram(words))]


def parse(arguments: list[str]) -> typer.Context:
    """Let the command line parse the arguments, down to the verb, without running it."""
    context = typer.main.get_command(app).make_context("planogram", list(arguments))
    while isinstance(context.command, TyperGroup):
        rest = [*context._protected_args, *context.args]
        name, command, rest = context.command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    return context


def test_every_block_has_a_language_that_says_whether_it_is_run():
    fences = re.findall(r"^```(.*)$", README, re.MULTILINE)
    assert set(fences[::2]) <= set(LANGUAGES)
    assert set(fences[1::2]) == {""}


@pytest.mark.parametrize("arguments", CALLS, ids=" ".join)
def test_its_options_and_settings_exist(arguments):
    context = parse(arguments)
    verb = context.command_path.removeprefix("planogram ")
    settings = context.params.get("settings") or []
    if verb not in VERBS:
        assert not settings
        return
    section.load(VERBS[verb], context.params.get("config_path"), settings)


def test_the_parser_of_this_test_refuses_what_does_not_exist():
    with pytest.raises(Exception, match="No such option"):
        parse(["finetune", "--no-such-option", "x"])


def test_its_targets_of_make_exist():
    targets = {words[1] for words in EVERYTHING if words[0] == "make"}
    makefile = (ROOT / "Makefile").read_text()
    assert {"demo", "test"} <= targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
