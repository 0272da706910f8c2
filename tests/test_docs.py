"""The documents name what there is: every configuration key; and their links lead somewhere."""

import re
from pathlib import Path

import pytest

from planogram import config

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SECTIONS = [
    value
    for value in vars(config).values()
    if isinstance(value, type) and issubclass(value, config.Section) and value is not config.Section
]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_key_is_documented(section):
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert [key for key in section.model_fields if f"| `{key}` |" not in text] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []
