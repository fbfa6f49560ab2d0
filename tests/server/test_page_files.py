"""The page's files, and nothing beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.server.kit import Served

from hocket.server.page_files import Page


def page(folder: Path) -> Page:
    (folder / "assets").mkdir()
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "assets" / "index-BxY3_k9a.js").write_text("1")
    (folder / "assets" / "plain.css").write_text("a{}")
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / "index-abc.js.map").write_text("{}")
    (folder / "evil.exe").write_text("x")
    return Page(folder)


def test_what_is_served_and_how_long_it_is_kept(tmp_path: Path) -> None:
    files = page(tmp_path)
    assert files.paths == ["/", "/assets/index-BxY3_k9a.js", "/assets/plain.css", "/favicon.svg"]
    index, script = files.file("/"), files.file("/assets/index-BxY3_k9a.js")
    assert index is not None and script is not None
    assert index.headers["Cache-Control"] == "no-cache"
    assert script.headers["Cache-Control"].endswith("immutable")
    assert script.media.startswith("text/javascript")
    again = files.file("/", index.headers["ETag"])
    assert again is not None and (again.status, again.data) == (304, b"")
    assert files.file("/index.html") is None


@pytest.mark.parametrize(
    "path",
    ["", "//", "/..", "/assets/..", "/assets/../index.html", "/assets", "/assets/", "\\", "/\0"],
)
def test_nothing_else_is(tmp_path: Path, path: str) -> None:
    assert page(tmp_path).file(path) is None


def test_a_browser_that_has_it_gets_no_more(served: Served) -> None:
    first = served.ask("GET", "/", token=None)
    known = {"If-None-Match": first.headers["etag"]}
    again = served.ask("GET", "/", token=None, headers=known)
    assert (again.status, again.body) == (304, b"")


def test_the_built_page_is_in_the_package() -> None:
    """Of what is served nothing is inline, and nothing comes from elsewhere."""
    built = Page()
    assert "/" in built.paths and "/favicon.svg" in built.paths
    index = built.file("/")
    assert index is not None
    text = index.data.decode()
    assert "<script>" not in text and "<style" not in text and " style=" not in text
    assert "http://" not in text and "https://" not in text
    assert not any(path.endswith(".map") for path in built.paths)
