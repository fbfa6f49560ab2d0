"""The page's own files, built from ``web/`` and served from the package; they hold no data."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from hocket.server.routing import Bytes

ASSETS: Final = "/assets/"
"""What the page's files begin with, but for its index and its picture."""

_INDEX: Final = "index.html"
_MEDIA: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_HASHED: Final = re.compile(r"/assets/.*[-.][A-Za-z0-9_-]{8,}\.[a-z0-9]+\Z")
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ASK_FIRST: Final = "no-cache"


class Page:
    """The files of the page, read once: what is not among them cannot be asked for.

    Args:
        folder: Where they are; by default in the package.
    """

    def __init__(self, folder: Traversable | None = None) -> None:
        root = files("hocket.server") / "page" if folder is None else folder
        self._files: dict[str, tuple[bytes, str, str, str]] = {}
        if root.is_dir():
            for path, data in _walk(root, ""):
                media = _MEDIA.get(f".{path.rpartition('.')[2]}")
                if media is not None:
                    kept = _FOR_EVER if _HASHED.match(path) else _ASK_FIRST
                    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
                    self._files[path] = data, media, kept, tag
        if f"/{_INDEX}" in self._files:
            self._files["/"] = self._files.pop(f"/{_INDEX}")

    @property
    def paths(self) -> list[str]:
        """The paths of all files."""
        return sorted(self._files)

    def file(self, path: str, known: str = "") -> Bytes | None:
        """Give a file as an answer, or None if there is none.

        Args:
            path: The path that was asked for.
            known: The tag of what the browser has already, or "".
        """
        found = self._files.get(path)
        if found is None:
            return None
        data, media, kept, tag = found
        headers = {"Cache-Control": kept, "ETag": tag}
        if known == tag:
            return Bytes(data=b"", media=media, status=304, headers=headers)
        return Bytes(data=data, media=media, headers=headers)


def _walk(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        below = f"{path}/{entry.name}"
        if entry.is_dir():
            yield from _walk(entry, below)
        elif entry.is_file():
            yield below, entry.read_bytes()
