"""Every command and every snippet that the documentation shows is done here."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.docs.masks import MASKED
from tests.docs.pages import ROOT, all_pages, blocks, decisions
from tests.docs.session import Session

from hocket.cli.main import COMMANDS

PAGES = all_pages()
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_NUMBER = re.compile(r"(\d{4})-[a-z0-9-]+\.md")


@pytest.fixture(scope="module")
def shown(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, Future[None]]]:
    """Do the pages that were asked for, a few at a time: they wait more than they work."""
    test = test_what_a_page_shows_is_what_happens.__name__
    items = [i for i in request.session.items if getattr(i, "originalname", "") == test]
    pages = [item.callspec.params["page"] for item in items]  # type: ignore[attr-defined]
    with ThreadPoolExecutor(3) as pool:
        yield {page: pool.submit(do, page, tmp_path_factory.mktemp("page")) for page in pages}


def do(page: Path, folder: Path) -> None:
    """Do a page's blocks, one after the other."""
    todo = blocks(page)
    if not todo:
        return
    session = Session(folder, masked=page in MASKED)
    try:
        if any(" examples/" in block.text for block in todo):
            shutil.copytree(ROOT / "examples", session.folder / "examples")
        for block in todo:
            session.do(block, f"{page.relative_to(ROOT)}:{block.line}")
    finally:
        session.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_is_what_happens(page: Path, shown: dict[Path, Future[None]]) -> None:
    shown[page].result()


@pytest.mark.parametrize(
    "page", [*PAGES, *decisions()], ids=lambda page: str(page.relative_to(ROOT))
)
def test_links_within_the_documentation_lead_somewhere(page: Path) -> None:
    targets = _LINK.findall(page.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if not re.search(rf"^## hocket {name}\b", text, re.M)] == []


def test_the_index_leads_to_every_page() -> None:
    docs = ROOT / "docs"
    index = docs / "index.md"
    linked = {(docs / target).resolve() for target in _LINK.findall(index.read_text("utf-8"))}
    pages = [page for page in PAGES if page.is_relative_to(docs) and page != index]
    assert [str(page.relative_to(docs)) for page in pages if page not in linked] == []


def test_the_index_names_each_page_once() -> None:
    targets = _LINK.findall((ROOT / "docs/index.md").read_text("utf-8"))
    assert [target for target in sorted(set(targets)) if targets.count(target) > 1] == []


def test_decisions_are_numbered_in_order() -> None:
    numbers = [int(match[1]) for page in decisions() if (match := _NUMBER.fullmatch(page.name))]
    assert numbers == list(range(1, len(decisions()) + 1))


def test_a_decision_has_the_four_parts() -> None:
    for page in decisions():
        text = page.read_text("utf-8")
        parts = (
            "- Status: ",
            "- Date: ",
            "\n## Context\n",
            "\n## Decision\n",
            "\n## Consequences\n",
        )
        assert [part for part in parts if part not in text] == [], page.name
