"""MassGen's files become files of ours, and what has no counterpart is listed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hocket.config.massgen import translate
from hocket.config.massgen_words import PRESENTER
from hocket.config.yaml import parse
from hocket.core.errors import Refused


def of(text: str) -> Any:
    return translate(parse(text.encode()).tree)


def notes(text: str) -> dict[str, str]:
    return dict(of(text).notes)


def team(orchestrator: str = "{}", rest: str = "") -> dict[str, Any]:
    agents = "agents: [{id: a, backend: {type: openai, model: m}}, "
    agents += "{id: b.1, backend: {type: claude, model: n}}]"
    tree = of(f"{agents}\norchestrator: {orchestrator}\n{rest}").tree
    found: dict[str, Any] = tree["plans"]["ask"]["steps"]["answer"]["consensus"]
    return found


SEVEN = """
agents:
  - id: gemini-flash-1
    backend: {type: gemini, model: gemini-2.5-flash, enable_web_search: true}
    system_message: |
      Be brief.
      Be right.
  - id: gemini-flash-2
    backend: {type: gemini, model: gemini-2.5-flash, temperature: 0.3}
  - id: gemini-pro
    backend: {type: gemini, model: gemini-2.5-pro, max_tokens: 900}
  - id: other
    backend: {type: gemini, model: gemini-3-flash}
ui: {display_type: rich_terminal}
"""


def test_agents_models_and_their_limits() -> None:
    found = of(SEVEN)
    assert found.tree["models"] == {
        "gemini-2-5-flash": {
            "id": "google:gemini-2.5-flash",
            "limits": {"requests": ["9/min", "245/day"], "tokens": "240k/min"},
        },
        "gemini-2-5-pro": {
            "id": "google:gemini-2.5-pro",
            "limits": {"requests": ["2/min", "48/day"], "tokens": "120k/min"},
        },
        "gemini-3-flash": {
            "id": "google:gemini-3-flash",
            "limits": {"requests": ["7/min", "100/day"], "tokens": "100k/min"},
        },
    }
    assert found.tree["agents"] == {
        "gemini-flash-1": {"model": "gemini-2-5-flash", "system": "Be brief.\nBe right.\n"},
        "gemini-flash-2": {"model": "gemini-2-5-flash", "temperature": 0.3},
        "gemini-pro": {"model": "gemini-2-5-pro", "max_tokens": 900},
        "other": {"model": "gemini-3-flash"},
    }
    assert [note.where for note in found.notes] == [
        "backend.enable_web_search (gemini-flash-1)",
        "orchestrator.max_new_answers_per_agent",
        "ui",
    ]


def test_the_defaults_are_those_of_massgen_but_for_the_restarts() -> None:
    assert team() == {
        "question": "{{inputs.question}}",
        "agents": ["a", "b-1"],
        "decide": "plurality",
        "tie": "order",
        "policy": "once",
        "max_duration": "30m",
        "final": "present",
    }


@pytest.mark.parametrize(
    ("orchestrator", "rest", "expected"),
    [
        ("{max_new_answers_per_agent: 1}", "", {"policy": "once"}),
        ("{max_new_answers_per_agent: 3}", "", {"policy": "rounds", "rounds": 2, "lead": 2}),
        ("{max_new_answers_per_agent: 2, fairness_lead_cap_answers: 1}", "",
         {"rounds": 1, "lead": 1}),
        ("{skip_final_presentation: true}", "", {"final": "reuse"}),
        ("{final_answer_strategy: winner_reuse}", "", {"final": "reuse"}),
        ("{final_answer_strategy: synthesize, presenter_agent: b.1}", "",
         {"final": "synthesize", "presenter": "b-1"}),
        ("{}", "timeout_settings: {orchestrator_timeout_seconds: 90}", {"max_duration": "90s"}),
        ("{timeout: {orchestrator_timeout_seconds: 600}}", "", {"max_duration": "10m"}),
        ("{}", "timeout_settings: {initial_round_timeout_seconds: 60}",
         {"soft": "1m", "hard": "3m"}),
        ("{}", "timeout_settings: {subsequent_round_timeout_seconds: 45, "
               "round_timeout_grace_seconds: 15}", {"soft": "45s", "hard": "1m"}),
    ],
)  # fmt: skip
def test_options_that_have_a_counterpart(
    orchestrator: str, rest: str, expected: dict[str, Any]
) -> None:
    found = team(orchestrator, rest)
    assert {key: found[key] for key in expected} == expected


def test_fairness_that_is_off_binds_nobody() -> None:
    assert "lead" not in team("{max_new_answers_per_agent: 2, fairness_enabled: false}")


@pytest.mark.parametrize(
    ("backend", "entry"),
    [
        ("{type: openai, model: gpt-5}", "openai:gpt-5"),
        ("{type: grok, model: grok-4}",
         {"id": "openai:grok-4", "base_url": "https://api.x.ai/v1", "key_env": "XAI_API_KEY"}),
        ("{type: chatcompletion, model: oss, base_url: 'https://api.cerebras.ai/v1'}",
         {"id": "openai:oss", "base_url": "https://api.cerebras.ai/v1",
          "key_env": "CEREBRAS_API_KEY"}),
        ("{type: lmstudio, model: qwen}",
         {"id": "openai:qwen", "base_url": "http://localhost:1234/v1"}),
        ("{type: vllm, model: x, base_url: 'http://there:8000/v1'}",
         {"id": "openai:x", "base_url": "http://there:8000/v1"}),
        ("{type: openai, model: m, api_key: '${MY_KEY}'}",
         {"id": "openai:m", "key_env": "MY_KEY"}),
        ("{type: azure_openai, model: d, base_url: 'https://me.openai.azure.com/'}",
         {"id": "openai:d", "base_url": "https://me.openai.azure.com/openai/v1",
          "key_env": "AZURE_OPENAI_API_KEY"}),
    ],
)  # fmt: skip
def test_backends(backend: str, entry: Any) -> None:
    tree = of(f"agent: {{id: a, backend: {backend}}}").tree
    model = tree["agents"]["a"]["model"]
    assert tree["models"][model] == entry if isinstance(entry, dict) else model == entry


def test_what_a_model_is_told_besides() -> None:
    text = """
agent:
  id: a
  backend:
    type: openai
    model: m
    top_p: 0.9
    reasoning: {effort: low, summary: auto}
    text: {verbosity: high}
"""
    assert of(text).tree["agents"]["a"]["settings"] == {
        "top_p": 0.9,
        "openai_reasoning_effort": "low",
        "openai_text_verbosity": "high",
    }


def test_one_agent_alone_has_a_plain_step() -> None:
    tree = of("agent: {id: a, backend: {type: openai, model: m}}\ntask: Why?").tree
    assert tree["plans"]["ask"] == {
        "inputs": {"question": {"about": "What to ask.", "default": "Why?"}},
        "steps": {"answer": {"agent": "a", "prompt": "{{inputs.question}}"}},
        "output": "{{answer}}",
    }


def test_a_key_is_never_copied() -> None:
    text = "agent: {id: a, backend: {type: grok, model: m, api_key: sk-secret}}"
    found = of(text)
    assert "sk-secret" not in str(found)
    assert found.notes[0].where == "backend.api_key (a)"
    assert "XAI_API_KEY" in found.notes[0].why


def test_what_has_no_counterpart_says_what_to_do() -> None:
    told = notes("""
agents:
  - {id: a, backend: {type: openai, model: m, cwd: w, mcp_servers: [], custom_tools: []}}
  - {id: b, backend: {type: openai, model: m, cwd: w}}
  - {id: c, backend: {type: claude_code, cwd: w}}
  - {id: d, backend: {type: azure_openai, model: m, base_url: '${WHERE}'}}
orchestrator: {voting_sensitivity: strict, presenter_agent: c, coordination: {use_skills: true}}
memory: {enabled: true}
""")
    assert set(told) == {
        "backend.cwd (a, b)",
        "backend.mcp_servers (a)",
        "backend.custom_tools (a)",
        "agent (c)",
        "agent (d)",
        "orchestrator.max_new_answers_per_agent",
        "orchestrator.voting_sensitivity",
        "orchestrator.presenter_agent",
        "orchestrator.coordination.use_skills",
        "memory",
    }
    assert told["orchestrator.presenter_agent"] == PRESENTER
    assert "function: module:function" in told["backend.custom_tools (a)"]
    assert "${WHERE}" in told["agent (d)"]


def test_names_are_made_fit_and_unique() -> None:
    found = of(
        "agents: [{id: 'gpt 4.1', backend: {type: openai, model: m}}, "
        "{id: 'gpt-4-1', backend: {type: openai, model: m}}, "
        "{id: '1', backend: {type: openai, model: m}}, {backend: {type: openai, model: m}}]"
    )
    assert list(found.tree["agents"]) == ["gpt-4-1", "gpt-4-1-2", "a-1", "agent4"]
    members = found.tree["plans"]["ask"]["steps"]["answer"]["consensus"]["agents"]
    assert members == list(found.tree["agents"])
    assert "is called gpt-4-1 here" in [note.why for note in found.notes]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "no MassGen configuration"),
        ("x: 1", "no MassGen configuration"),
        ("agents: {a: b}", "none of its agents"),
        ("agents: []", "names no agents: its list of them is empty"),
        ("agents: [a]", "no MassGen configuration"),
        ("agent: {id: a, backend: {type: codex}}", "agent (a): left out: it is a coding agent"),
        ("agent: {id: a, backend: {type: nobody, model: m}}", "'nobody' is not known here"),
        ("agent: {id: a, backend: {type: openai}}", "names no model"),
    ],
)
def test_what_cannot_be_taken_is_refused(text: str, said: str) -> None:
    with pytest.raises(Refused) as caught:
        of(text)
    assert said in str(caught.value)


def test_the_configurations_that_come_with_massgen_are_read() -> None:
    """MassGen lives in an environment of its own: MASSGEN_CONFIGS says where its files are."""
    folder = os.environ.get("MASSGEN_CONFIGS")
    if folder is None:
        pytest.skip("MASSGEN_CONFIGS names no folder of MassGen's configurations")
    read, refused = 0, []
    for path in sorted(Path(folder).rglob("*.y*ml")):
        try:
            translate(parse(path.read_bytes()).tree)
            read += 1
        except Refused as error:
            refused.append((path.name, str(error)))
    assert read >= 200
    assert all("agent" in said for _, said in refused), refused
