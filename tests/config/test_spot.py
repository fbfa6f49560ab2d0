"""Who takes part, as it is written in a line."""

from __future__ import annotations

import pytest

from hocket.config.spot import one_step, read_seats
from hocket.core.errors import CallerError

KNOWN = ("flash", "pro")
MODELS = ("large",)


@pytest.mark.parametrize(
    ("line", "seats", "agents"),
    [
        ("flash", [("flash", 1)], {}),
        ("flash*5,pro", [("flash", 5), ("pro", 1)], {}),
        (" flash * 2 , flash ", [("flash", 3)], {}),
        ("local*3", [("local", 3)], {"local": {"local": "smollm2-135m"}}),
        ("large", [("large", 1)], {"large": {"model": "large"}}),
        ("openai:gpt-5.2*2", [("gpt-5-2", 2)], {"gpt-5-2": {"model": "openai:gpt-5.2"}}),
        ("openai:gpt-5.2,pro,openai:gpt-5.2", [("gpt-5-2", 2), ("pro", 1)],
         {"gpt-5-2": {"model": "openai:gpt-5.2"}}),
        ("a:flash,b:flash", [("flash-2", 1), ("flash-3", 1)],
         {"flash-2": {"model": "a:flash"}, "flash-3": {"model": "b:flash"}}),
        ("openrouter:meta/llama-4", [("llama-4", 1)],
         {"llama-4": {"model": "openrouter:meta/llama-4"}}),
        ("openai:4o", [("openai-4o", 1)], {"openai-4o": {"model": "openai:4o"}}),
    ],
)  # fmt: skip
def test_seats(line: str, seats: list[tuple[str, int]], agents: dict[str, object]) -> None:
    found = read_seats(line, KNOWN, MODELS, "hocket.yaml")
    assert [tuple(seat) for seat in found.seats] == seats
    assert found.agents == agents


def test_an_agent_of_the_file_may_be_called_local() -> None:
    assert read_seats("local", ["local"], ()).agents == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("flsh", "there is no agent 'flsh'; did you mean 'flash'?"),
        ("zzz", "there is no agent 'zzz'; hocket.yaml has flash, pro, large; a model is written "
                "provider:model"),
        ("flash,", "'' names no agent: write NAME, NAME*3 or provider:model"),
        ("a b", "'a b' names no agent"),
        ("flash*x", "'flash*x' names no agent"),
        ("flash*0", "an agent takes part 1 to 100 times"),
        ("flash*1000", "an agent takes part 1 to 100 times"),
        (":x", "there is no agent ':x'"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(line: str, said: str) -> None:
    with pytest.raises(CallerError) as caught:
        read_seats(line, KNOWN, MODELS, "hocket.yaml")
    assert said in str(caught.value)


def test_without_a_file_it_says_so() -> None:
    with pytest.raises(CallerError, match="there is no file with agents here"):
        read_seats("zzz", (), ())


def test_a_plan_of_one_step() -> None:
    seats = read_seats("local", (), ())
    assert one_step("ask", {"agent": "local"}, ["question"], "ask.answer", seats) == {
        "version": 1,
        "agents": {"local": {"local": "smollm2-135m"}},
        "plans": {
            "ask": {
                "inputs": ["question"],
                "steps": {"ask": {"agent": "local"}},
                "output": "{{ask.answer}}",
            }
        },
    }
