"""The pages that are written from the code are as the code has it now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT, decisions

DOCS = ROOT / "docs"


def test_generated_pages_are_up_to_date(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(DOCS / "generate.py"), str(tmp_path)], check=True)
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert len(made) == 6
    old = [
        str(path)
        for path in sorted(made)
        if (tmp_path / path).read_text("utf-8") != (DOCS / path).read_text("utf-8")
    ]
    assert old == [], "run: python docs/generate.py"


def test_the_index_for_language_models_names_every_page() -> None:
    text = (DOCS / "llms.txt").read_text(encoding="utf-8")
    pages = [page for page in DOCS.rglob("*.md") if page != DOCS / "index.md"]
    assert set(decisions()) <= set(pages)
    missing = [str(page.relative_to(DOCS)) for page in pages]
    assert [name for name in missing if f"]({name}): " not in text] == []
