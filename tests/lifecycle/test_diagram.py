"""The diagrams in the documentation are those of the code."""

from __future__ import annotations

from pathlib import Path

from millrace.lifecycle.diagram import job_diagram, refreshed

DOCUMENT = Path(__file__).parents[2] / "docs" / "lifecycle.md"
RENEW = (
    "from pathlib import Path; from millrace.lifecycle.diagram import refreshed;"
    " page = Path('docs/lifecycle.md'); page.write_text(refreshed(page.read_text()))"
)


def test_the_document_is_up_to_date() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    assert document == refreshed(document), f'run: python -c "{RENEW}"'
    assert "finalizing --> succeeded: publish" in document


def test_an_outdated_document_is_noticed() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    outdated = document.replace("queued --> running: start", "queued --> paused: start")
    assert refreshed(outdated) == document != outdated


def test_every_arrow_has_its_verb() -> None:
    assert "    running --> paused: pause\n" in job_diagram()
    assert "    [*] --> validating: submit\n" in job_diagram()
