"""What several tests of agents share."""

from collections.abc import Iterator

import pytest
from tests.agents.model_desk import Desk


@pytest.fixture(scope="module")
def shop() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.close()


@pytest.fixture
def desk(shop: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "GROQ_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    yield shop
    shop.tidy()
