"""Options and servers of the tests; and what one process has compiled, no other compiles again."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.postgres import Server, missing

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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server for all tests of a process; who stops or kills one makes its own."""
    if reason := missing():
        pytest.skip(reason)
    server = Server().start()
    yield server
    server.remove()


@pytest.fixture
def database(postgres: Server) -> Iterator[str]:
    """The URL of a fresh, empty PostgreSQL database."""
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)
