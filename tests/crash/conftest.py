"""What tests that kill share: the killer, made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.crash.killer import Killer, make_killer


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killer]:
    found = make_killer(tmp_path_factory.mktemp("kill"))
    if isinstance(found, str):
        pytest.skip(found)
    yield found
    found.close()
