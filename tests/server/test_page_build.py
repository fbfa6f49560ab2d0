"""The page's files: built from the sources beside them, small, and reaching nowhere else."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import hocket.server

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
PAGE = Path(hocket.server.__file__).parent / "page"
MOST = 150_000
"""The most bytes of all files together, each compressed."""
_ELSEWHERE = re.compile(r"(?:https?|wss?)://([A-Za-z0-9.-]+)")
_NAMES = {"www.w3.org", "svelte.dev"}
"""Names of namespaces and of errors' explanations; nothing is asked of them."""


def files(folder: Path) -> dict[str, bytes]:
    """Give the files below a folder by their path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_page_is_there_and_small() -> None:
    built = files(PAGE)
    assert "index.html" in built
    assert len(built) > 5
    assert sum(len(gzip.compress(data, 9, mtime=0)) for data in built.values()) <= MOST
    assert [name for name in built if name.endswith(".map")] == []


def test_the_page_names_no_other_place() -> None:
    for name, data in files(PAGE).items():
        assert set(_ELSEWHERE.findall(data.decode())) <= _NAMES, name
        assert b"sourceMappingURL" not in data, name


def test_nothing_stands_inline() -> None:
    index = (PAGE / "index.html").read_text("utf-8")
    assert re.findall(r"<script(?![^>]*\bsrc=)", index) == []
    assert "<style" not in index
    assert re.findall(r"\son\w+=|\sstyle=", index) == []


def test_nothing_is_written_as_markup() -> None:
    """What models and people wrote is text: no source writes HTML."""
    markup = re.compile(r"\{@html|innerHTML|outerHTML|insertAdjacentHTML|document\.write")
    sources = [*WEB.glob("src/**/*.svelte"), *WEB.glob("src/**/*.ts")]
    assert len(sources) > 20
    assert [path.name for path in sources if markup.search(path.read_text("utf-8"))] == []


def test_the_lock_file_holds_no_addresses() -> None:
    text = (WEB / "package-lock.json").read_text("utf-8")
    assert "://" not in text
    assert '"integrity"' in text


def test_the_page_is_what_its_sources_make(tmp_path: Path) -> None:
    vite = WEB / "node_modules" / ".bin" / "vite"
    if shutil.which("node") is None or not vite.exists():
        pytest.skip("no node, or its packages are not installed: `npm ci` within web/")
    made = tmp_path / "page"
    done = subprocess.run(
        [str(vite), "build", "--outDir", str(made), "--emptyOutDir", "--logLevel", "error"],
        cwd=WEB,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    fresh, kept = files(made), files(PAGE)
    assert sorted(fresh) == sorted(kept), "run `make page` and commit what it builds"
    different = [name for name, data in fresh.items() if data != kept[name]]
    assert different == [], "run `make page` and commit what it builds"
