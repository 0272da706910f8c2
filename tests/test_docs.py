"""The documents name what there is: every configuration key; and their links lead somewhere."""

import re
from pathlib import Path

import pytest

from planogram.reference import markdown

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_key_is_documented():
    assert (ROOT / "docs" / "configuration.md").read_text() == markdown()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []
