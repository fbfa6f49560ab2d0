"""Options of the tests; and what one process has compiled, no other compiles again."""

import os
from pathlib import Path

import pytest

# JAX reads this when it is imported, here and in whatever process a test starts.
os.environ |= {
    "JAX_COMPILATION_CACHE_DIR": str(Path(__file__).parents[1] / ".pytest_cache" / "compiled"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--world-seeds", type=int, default=10_000, help="seeds of the pure machine (10,000)"
    )
    parser.addoption(
        "--shell-seeds", type=int, default=1_000, help="seeds of the engine's shell (1,000)"
    )
