"""Fixtures of the tests over several machines."""

from __future__ import annotations

import pytest
from tests import postgres
from tests.cluster import nets


@pytest.fixture(scope="session")
def several_machines() -> None:
    """Skip where there can be no machines, or no database server."""
    for reason in (nets.missing(), postgres.missing()):
        if reason:
            pytest.skip(reason)
