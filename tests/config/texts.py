"""Specs from the text of a file, as `hocket.config.file.load` gives them from a file."""

from __future__ import annotations

from hocket.config.bounds import Presets, built_in
from hocket.config.file import read_text
from hocket.core.specs import RunSpec


def load_text(
    text: str, plan: str | None = None, source: str = "<text>", *, presets: Presets = built_in
) -> RunSpec:
    """Give the spec of one of the plans of a text."""
    return read_text(text, source, presets=presets).spec(plan)
