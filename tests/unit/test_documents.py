"""What the documents name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_document_links_to_exists(document):
    missing = [link for link in LINK.findall(document.read_text()) if not (document.parent / link).exists()]
    assert not missing


def test_the_path_of_a_request_names_a_file_for_each_step():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    path = text.partition("## The path of a request")[2].partition("\n## ")[0]
    steps = re.split(r"^\d+\. ", path, flags=re.MULTILINE)[1:]
    assert len(steps) >= 10
    for step in steps:
        assert ".py" in step or "migrations" in step, step
