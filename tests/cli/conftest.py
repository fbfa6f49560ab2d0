"""A home for tests that use the ``hocket`` command."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.kit import Home
from tests.cli.terminal import Terminal


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A working folder and a state folder; what is left running is ended."""
    made = Home(tmp_path)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def terminals(home: Home) -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()
