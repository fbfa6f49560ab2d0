"""A server with a few plans, and a browser, started once for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from tests.report.browser import browser
from tests.server.kit import PLANS, Served, serving

from hocket.server.settings import Quotas, Settings

ROOMY = Quotas(
    rate=1e6, burst=10**6, acting=1e6, acting_burst=10**6, refusals=1e6, refusals_burst=10**6
)
"""Quotas that no test meets by accident."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("served")
    file = folder / "plans.yaml"
    file.write_text(PLANS)
    with serving(folder / "state", [file], settings=Settings(quotas=ROOMY)) as server:
        yield server


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found
