"""Options of the tests: how many seeds the simulations live through."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--world-seeds", type=int, default=10_000, help="seeds of the pure machine (10,000)"
    )
    parser.addoption(
        "--shell-seeds", type=int, default=1_000, help="seeds of the engine's shell (1,000)"
    )
