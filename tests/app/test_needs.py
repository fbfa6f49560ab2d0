"""A run is refused for a key that is missing only where it would fail without fail."""

from __future__ import annotations

import pytest

from hocket.app.needs import keyless, missing
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec
from hocket.core.teams import CacheSpec

ADA = AgentSpec(kind="model", options={"model": "google:gemini-3-pro"})
SAID = ["agent ada: the variable GOOGLE_API_KEY is not set"]


def run_of(*steps: StepSpec, ada: AgentSpec = ADA) -> RunSpec:
    other = AgentSpec(kind="command", options={"command": ["echo"]})
    return RunSpec(workflow=PlanSpec(name="p", steps=steps), agents={"ada": ada, "other": other})


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_who_must_be_asked_and_cannot_be() -> None:
    first, second = StepSpec(name="a", agent="other"), StepSpec(name="b", agent="ada", needs=("a",))
    assert keyless(run_of(first, second)) == SAID
    inner = PlanSpec(name="q", steps=(second,))
    assert keyless(run_of(StepSpec(name="n", kind="plan", plan=inner))) == SAID


@pytest.mark.parametrize(
    "steps",
    [
        [StepSpec(name="b", agent="ada", when="inputs.x")],
        [StepSpec(name="b", agent="ada", each="inputs.x")],
        [StepSpec(name="b", agent="ada", fallback=("other",))],
        [StepSpec(name="b", agent="ada", on_failure="continue")],
        [StepSpec(name="b", agent="ada"), StepSpec(name="c", agent="other", wants=("b",))],
        [
            StepSpec(name="a", agent="other", when="inputs.x"),
            StepSpec(name="b", agent="other", needs=("a",)),
            StepSpec(name="c", agent="ada", needs=("b",)),
        ],
    ],
)
def test_who_may_not_be_asked_or_missed(steps: list[StepSpec]) -> None:
    assert keyless(run_of(*steps)) == []


def test_an_answer_may_have_been_kept() -> None:
    kept = AgentSpec(kind="model", options=ADA.options, cache=CacheSpec())
    assert keyless(run_of(StepSpec(name="b", agent="ada"), ada=kept)) == []


def test_the_old_name_of_a_key_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pydantic_ai")
    spec = run_of(StepSpec(name="b", agent="ada"))
    assert missing(spec) == SAID
    monkeypatch.setenv("GEMINI_API_KEY", "x")
    assert missing(spec) == keyless(spec) == []
