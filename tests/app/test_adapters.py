"""Which adapter runs which kind of agent, and how many of its calls at once."""

import os
from typing import get_args

import pytest

from hocket.app.adapters import ADAPTERS, adapter, capacity
from hocket.core.specs import AgentKind, AgentSpec

CORES = os.cpu_count() or 1


def test_every_kind_has_an_adapter() -> None:
    assert set(ADAPTERS) == set(get_args(AgentKind))
    for kind in ADAPTERS:
        assert callable(adapter(kind))


@pytest.mark.parametrize(
    ("spec", "slots"),
    [
        (AgentSpec(kind="command", options={}), CORES),
        (AgentSpec(kind="function", options={"mode": "process"}), CORES),
        (AgentSpec(kind="function", options={}), None),
        (AgentSpec(kind="model", options={}), None),
        (AgentSpec(kind="local", options={}), 4),
        (AgentSpec(kind="command", options={}, concurrency=9), 9),
    ],
)
def test_slots(spec: AgentSpec, slots: int | None) -> None:
    assert capacity("a", spec) == slots
