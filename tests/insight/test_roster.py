"""Who did the work of a run, whatever kind of agent it was."""

from __future__ import annotations

from typing import get_args

import pytest
from tests.machines import plan, run_spec, step

from hocket.core.specs import AgentKind, AgentSpec
from hocket.insight.roster import Roster


@pytest.mark.parametrize("kind", get_args(AgentKind))
def test_an_agent_of_every_kind_can_be_explained(kind: AgentKind) -> None:
    spec = run_spec(plan(step("s")), {"a": AgentSpec(kind=kind)})
    assert Roster(spec).doer("a", None).work in ("model", "tool")
