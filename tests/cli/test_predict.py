"""What ``hocket check --predict`` says, before a plan was ever run and after."""

import pytest
from tests.cli.kit import Home

PLAN = """
agents:
  w:
    scripted: {replies: [{output: hello, after: 100ms, cost: 0.02}]}
    limits: {requests: 2/1s, margin: 0s}
"""
STEPS = """
ask: {agent: w, each: inputs.items, prompt: "x {{item}}"}
"""


@pytest.fixture
def prepared(home: Home) -> Home:
    home.write(STEPS, head=PLAN, plan="inputs: [items]")
    return home


def test_nothing_is_guessed_of_a_plan_that_never_ran(prepared: Home) -> None:
    done = prepared.ok("check", "--predict", "-i", "items:=[1,2,3]")
    assert "nothing is known of how long its 3 calls take" in done.out
    assert not (prepared.state / "journal.sqlite").exists()


def test_a_plan_that_ran_is_predicted_and_its_bound_named(prepared: Home) -> None:
    prepared.ok("run", "--quiet", "-i", "items:=[1,2]")
    done = prepared.ok("check", "--predict", "--json", "-i", "items:=[1,2,3,4,5]")
    (about,) = done.data
    found = about["prediction"]
    # Two go at once; the fifth begins two seconds later.
    assert 2.05 < found["seconds"] < 3.2 and found["low"] <= found["seconds"] <= found["high"]
    assert found["binds"].startswith("agent:w limits")
    assert found["dollars"] == pytest.approx(0.1) and found["unpriced"] == 0
    said = prepared.ok("check", "--predict", "-i", "items:=[1,2,3,4,5]").out
    assert "forecast: 5 calls in 2." in said and "about $0.1" in said


def test_inputs_are_refused_where_they_mean_nothing(prepared: Home) -> None:
    done = prepared.hocket("check", "-i", "items:=[1]")
    assert done.status == 2 and "--input is for --predict" in done.err
    done = prepared.hocket("check", "--predict", "-i", "itms:=[1]")
    assert done.status == 2 and "did you mean 'items'" in done.err
