"""A provider that nobody knows is found before a call is made."""

from __future__ import annotations

import pytest

from hocket.agents.providers import KNOWN, unknown_provider
from hocket.app.needs import missing
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("opneai:gpt-5.2", "there is no provider 'opneai'; did you mean 'openai'?"),
        ("foo:bar", "there is no provider 'foo'; write provider:model, as openai:gpt-5.2"),
        ("openai:gpt-5.2", ""),
        ("gateway/openai:gpt-5.2", ""),
        ("snowflake:x", ""),
        ("qwen3", ""),
    ],
)
def test_what_nobody_provides(model: str, said: str) -> None:
    pytest.importorskip("pydantic_ai")
    assert unknown_provider(model) == said


def test_all_that_are_taken_for_granted_are_there() -> None:
    providers = pytest.importorskip("pydantic_ai.providers")
    unknown = []
    for name in KNOWN:
        try:
            providers.infer_provider_class(name)
        except ImportError:
            # What it needs is not installed here, but it is known.
            continue
        except ValueError:
            unknown.append(name)
    assert unknown == []


def test_an_agent_of_a_file_lacks_its_provider_unless_it_has_an_address() -> None:
    pytest.importorskip("pydantic_ai")
    agents = {
        "a": AgentSpec(kind="model", options={"model": "foo:bar"}),
        "b": AgentSpec(kind="model", options={"model": "foo:bar", "base_url": "http://x/v1"}),
    }
    spec = RunSpec(workflow=PlanSpec(name="p", steps=()), agents=agents)
    assert missing(spec) == [
        "agent a: there is no provider 'foo'; write provider:model, as openai:gpt-5.2"
    ]
