"""Runs and plans are simulated by what is recorded, said and known of them, and by nothing else."""

import pickle
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hocket.app.engine import Engine
from hocket.app.history import known_as
from hocket.app.insight import simulate
from hocket.app.simulate import (
    Otherwise,
    Playing,
    simulate_plan,
    simulate_run,
)
from hocket.app.simulate_file import check_simulate
from hocket.config.file import Loaded, read_text
from hocket.core.errors import CallerError, NotFound, Refused, SpecError
from hocket.core.specs import RunSpec
from hocket.core.values import SECOND, Json
from hocket.journal.base import Sample
from hocket.journal.memory import MemoryJournal
from hocket.simulator.loop import run_virtual
from hocket.simulator.outcome import Row, Study

CHAIN = """
version: 1
limits:
  tight: {requests: 2/min, margin: 0s, shared: false, adaptive: false}
agents:
  w: {scripted: {replies: [{output: hello, after: 10s, tokens_in: 5, tokens_out: 7, cost: 0.5}]}}
  v: {scripted: {replies: [{output: hi, after: 20s}]}, limits: tight}
plans:
  p:
    inputs: {n: {default: [1, 2, 3, 4]}}
    max_parallel: 1
    steps:
      a: {agent: w, each: inputs.n, prompt: x}
      b: {agent: v, each: "[1, 2, 3]", prompt: y, needs: [a]}
"""
MODELS = """
version: 1
models:
  slow: {id: "openai:slow", price: {in: 1, out: 2}, limits: {requests: 60/min}}
  quick: {id: "openai:quick", price: {in: 3, out: 4}}
agents:
  w: {model: slow}
  v: {model: quick}
plans:
  p:
    steps:
      a: {agent: w, prompt: x}
      b: {agent: v, prompt: y, needs: [a]}
"""
FEW = Playing(runs=20)
PLAINLY = Otherwise()


def load(text: str) -> Loaded:
    return read_text(text, "hocket.yaml")


def recorded(text: str = CHAIN, plan: str = "p", **inputs: Json) -> MemoryJournal:
    """The journal with a run ``r`` of a file's plan."""
    kept: list[MemoryJournal] = []

    async def main() -> None:
        async with Engine(memory=True, look_ahead=0) as engine:
            async with engine.start(load(text).spec(plan), run_id="r", **inputs) as run:
                await run.result()
            assert isinstance(engine.journal, MemoryJournal)
            kept.append(engine.journal)

    run_virtual(main)
    return kept[0]


def plan(text: str, other: Otherwise = PLAINLY, how: Playing = FEW, **inputs: Json) -> Study:
    found = load(text)
    return simulate_plan(
        MemoryJournal(),
        found.spec("p"),
        other,
        how,
        inputs=inputs,
        loaded=found,
        name="hocket.yaml",
    )


def medians(study: Study) -> dict[str, float]:
    rows = (study.baseline, *study.variants)
    return {row.name: round(row.seconds.median, 3) for row in rows}


def named(study: Study) -> Mapping[str, Row]:
    return {row.name: row for row in study.variants}


# -- files ----------------------------------------------------------------------------------


def test_a_scripted_plan_takes_what_it_would_take() -> None:
    study = plan(CHAIN)
    # Four by 10 s, then two of 20 s; the third begins when the first is a minute old.
    assert study.baseline.seconds.median == study.baseline.seconds.high == 40 + 60 + 20
    assert (study.baseline.calls.median, study.baseline.usd is not None) == (7, True)
    assert study.match is None and study.assumed == ()
    assert study.baseline.binds == "a free slot of the run"


def test_a_scripted_failure_takes_its_time_and_is_retried() -> None:
    failing = """
version: 1
agents:
  w:
    scripted:
      replies: [{error: {kind: unavailable}, after: 1s, cost: 0.5}, {output: ok, after: 2s}]
plans: {p: {steps: {a: {agent: w, prompt: x, retry: {tries: 2, first: 1s, jitter: 0}}}}}
"""
    study = plan(failing, Otherwise(["steps.a.retry=0"]))
    assert medians(study) == {"baseline": 4.0, "steps.a.retry=0": 1.0}
    assert (study.baseline.success, study.variants[0].success) == (1.0, 0.0)
    assert study.baseline.usd is not None and study.baseline.usd.median == 0.5
    assert study.assumed == (
        "20 of 20 runs of steps.a.retry=0 do not succeed: step 'a' failed: scripted failure.",
    )


def test_settings_are_one_variant_and_each_value_another() -> None:
    other = Otherwise(
        settings=["limits.tight.requests=9/min"],
        vary=["max_parallel=1..2"],
        variants=["inputs.n=[1]", "limits.tight.requests=null 'inputs.n=[1, 2]'"],
    )
    study = plan(CHAIN, other)
    assert medians(study) == {
        "baseline": 120.0,
        "limits.tight.requests=9/min": 100.0,
        "+ max_parallel=1": 100.0,
        "+ max_parallel=2": 60.0,
        "inputs.n=[1]": 90.0,
        "limits.tight.requests=null inputs.n=[1, 2]": 80.0,
    }
    both = ("limits.tight.requests=9/min", "max_parallel=2")
    assert named(study)["+ max_parallel=2"].settings == both
    with pytest.raises(Refused, match="'max_parallel=4' says otherwise: leave one of them out"):
        plan(CHAIN, Otherwise(settings=["max_parallel=4"], vary=["max_parallel=1..2"]))


def test_what_is_said_of_agents_goes_before_what_is_assumed() -> None:
    said = MODELS + "simulate: {runs: 30, seed: 4, agents: {w: {latency: 7s}, v: {latency: 1s}}}"
    study = plan(said, how=Playing())
    assert (study.baseline.runs, study.seed, medians(study)["baseline"]) == (30, 4, 8.0)
    assert study.assumed == ()
    assert plan(said, how=Playing(runs=3, seed=1)).baseline.runs == 3
    unsaid = plan(MODELS)
    assert unsaid.assumed == (
        "Nobody knows how long calls of v, w take: 5 s, two thirds of them within 30%, is "
        "assumed. Settings say it, as agents.v.latency=3s.",
    )
    both = "agents.everybody.latency=2s agents.w.latency=3s"
    assert medians(plan(said, Otherwise(both.split())))[both] == 2 + 3
    # What is said of everybody holds for those, too, of whom the file says something.
    hung = plan(said, Otherwise(["agents.everybody.hanging=1", "timeout=1m"]))
    assert (hung.variants[0].success, hung.variants[0].seconds.median) == (0.0, 60.0)


def test_models_have_the_price_of_the_file_and_commands_none() -> None:
    study = plan(MODELS + "simulate: {everybody: {tokens_out: 1000000, latency: 1s}}")
    assert study.baseline.usd is not None
    assert study.baseline.usd.median == pytest.approx(2 + 4, abs=0.01)
    bare = "version: 1\nplans: {p: {steps: {a: {command: [x], files: [out.txt]}}, output: F}}"
    free = plan(bare.replace("F", "\"{{a.files['out.txt']}}\""))
    assert (free.baseline.usd, free.baseline.unpriced, free.baseline.success) == (None, False, 1.0)


def test_the_duration_book_tells_how_long_calls_take() -> None:
    found = load(MODELS)
    spec = found.spec("p")
    journal = MemoryJournal()
    agent = known_as(spec.agents)["w"]
    journal.book.record(
        [
            Sample(plan="p", step="a", agent=agent, took=took * SECOND, tokens_in=1, tokens_out=2)
            for took in (40, 50, 60)
        ]
    )
    other = Otherwise(["agents.w.model=quick"])
    study = simulate_plan(journal, spec, other, Playing(runs=100), loaded=found)
    assert 50 < study.baseline.seconds.median < 60
    assert study.baseline.seconds.high < 60 + 15
    assert "How long calls of w take is known from 3 earlier calls." in study.assumed
    # Nothing is known of the same agent with another model.
    assert study.variants[0].seconds.median < 20


def test_what_a_step_declares_is_no_guess() -> None:
    declared = MODELS.replace("prompt: x}", "prompt: x, takes: 8s}").replace(
        "prompt: y,", "prompt: y, takes: 3s,"
    )
    study = plan(declared, Otherwise(["agents.w.latency=1s"]))
    assert medians(study) == {"baseline": 11.0, "agents.w.latency=1s": 4.0}
    assert study.assumed == ()
    # A refusal comes at once, and a call that fails takes as long as another.
    faulty = "simulate: {agents: {w: {refusing: 1, retry_after: 2s}}}"
    assert medians(plan(declared + faulty, how=Playing(runs=2)))["baseline"] == 1_000 * 2.05 + 0.05
    failing = plan(declared + "simulate: {agents: {w: {failing: 1, fault: permanent}}}")
    assert medians(failing)["baseline"] == 8.0
    half = plan(declared.replace("takes: 8s", "fallback: v"))
    assert "Nobody knows how long calls of v, w take" in half.assumed[0]


def test_people_answer_as_is_said() -> None:
    text = "version: 1\nplans: {p: {steps: {a: {approve: ok, timeout: 1h, on_timeout: reject}}}}"
    assert medians(plan(text))["baseline"] == 0.0
    later = plan(text + "\nsimulate: {people: {after: 30s}}", Otherwise(["people.after=5m"]))
    assert medians(later) == {"baseline": 30.0, "people.after=5m": 300.0}
    never = plan(text, Otherwise(["people.after=never"]))
    assert never.variants[0].seconds.median == 3600.0
    no = plan(text, Otherwise(["people.approve=false"]))
    assert no.variants[0].success == 0.0


def test_inputs_are_wanted_as_of_a_real_run() -> None:
    text = CHAIN.replace("{n: {default: [1, 2, 3, 4]}}", "[n]")
    with pytest.raises(Refused, match="plan 'p' needs the input 'n'"):
        plan(text)
    with pytest.raises(Refused, match="plan 'p' has no input 'm'; it takes n"):
        plan(text, n=[1], m=2)
    assert medians(plan(text, n=[1]))["baseline"] == 90.0


# -- faults ---------------------------------------------------------------------------------


def test_faults_are_a_variant_and_strike_all_others() -> None:
    retried = CHAIN.replace("prompt: x}", "prompt: x, retry: {tries: 3, first: 1s, jitter: 0}}")
    study = plan(retried, Otherwise(settings=["max_parallel=4"], faults=["w down 10s at 5s"]))
    # The call in flight fails at 5 s, its second try at 6 s, its third at 8 s.
    assert medians(study)["baseline"] == 120.0
    assert named(study)["w down 10s at 5s"].success == 0.0
    assert named(study)["max_parallel=4 under w down 10s at 5s"].success == 0.0


def test_each_fault_is_a_variant_and_settings_are_told_against_all_of_them() -> None:
    faults = ["w slow x2", "v slow x3", "machine dies at 2h"]
    study = plan(CHAIN, Otherwise(settings=["max_parallel=4"], faults=faults))
    assert medians(study) == {
        "baseline": 120.0,
        "w slow x2": 160.0,
        "v slow x3": 220.0,
        "machine dies at 2h": 120.0,
        "w slow x2; v slow x3; machine dies at 2h": 260.0,
        "max_parallel=4 under all faults": 140.0,
    }
    row = study.variants[-1]
    assert row.against == "w slow x2; v slow x3; machine dies at 2h"
    assert row.faster is not None and row.faster.median == 120.0
    assert [one.frontier for one in study.variants[-2:]] == [False, True]
    idle = [note for note in study.assumed if "strikes no run" in note]
    assert idle[0] == "'machine dies at 2 h 00 m' strikes no run of machine dies at 2h."
    assert not any("slow" in note.partition(" strikes")[0] for note in idle)


def test_faults_of_the_file_are_of_its_baseline() -> None:
    study = plan(CHAIN + "simulate: {faults: [w slow x2]}", Otherwise(["max_parallel=1"]))
    assert medians(study) == {"baseline": 160.0, "max_parallel=1": 160.0}


def test_a_fault_may_name_a_model_of_the_file() -> None:
    said = MODELS + "simulate: {everybody: {latency: 1s}}"
    study = plan(said, Otherwise(faults=["slow slow x3"]))
    assert medians(study) == {"baseline": 2.0, "slow slow x3": 4.0}


def test_what_cannot_go_wrong_says_why() -> None:
    with pytest.raises(Refused, match="fault 'gone' says nothing that can go wrong; write it like"):
        plan(CHAIN, Otherwise(faults=["gone"]))
    with pytest.raises(NotFound, match="fault 'ww down 1s': no agent, limit or model is called"):
        plan(CHAIN, Otherwise(faults=["ww down 1s"]))
    with pytest.raises(SpecError) as caught:
        plan(CHAIN + "simulate:\n  faults:\n    - 5% hang\n    - gone\n")
    assert caught.value.lines[0].startswith("hocket.yaml:18:7: fault 'gone' says nothing")


TWO = """
version: 1
agents:
  w: {scripted: {replies: [{output: x, after: 1s}]}}
  v: {scripted: {replies: [{output: x, after: 2s}]}}
plans:
  p: {steps: {a: {agent: w, prompt: x}, a2: {agent: w, prompt: y}}}
  q: {steps: {b: {agent: v, prompt: x}}}
simulate:
  faults: [v slow x2, w slow x3]
  variants: [max_parallel=1, steps.b.timeout=1h, "steps.a.timeout=1h max_parallel=1"]
"""


def test_a_file_says_what_is_simulated_where_nothing_is_asked_for() -> None:
    stated = plan(TWO)
    assert medians(stated) == {
        "baseline": 3.0,
        "max_parallel=1": 6.0,
        "steps.a.timeout=1h max_parallel=1": 6.0,
    }
    asked = plan(TWO, Otherwise(vary=["max_parallel=2"]))
    assert [*medians(asked)] == ["baseline", "max_parallel=2"]
    assert [*medians(plan(TWO, Otherwise(faults=["w slow x2"])))] == ["baseline", "w slow x2"]


def test_what_a_file_says_of_simulations_is_checked() -> None:
    check_simulate(load(TWO))
    check_simulate(load(CHAIN))
    wrong = TWO.replace("v slow x2", "zed down 3s").replace("steps.b.timeout", "steps.c.timeout")
    with pytest.raises(SpecError) as caught:
        check_simulate(load(wrong))
    zed, no_step = caught.value.lines
    assert zed.startswith("hocket.yaml:10:12: fault 'zed down 3s': no agent, limit or model")
    assert no_step.startswith("hocket.yaml:11:30: setting 'steps.c.timeout=1h': there is no step")
    for text in (wrong, TWO.replace("steps.b.timeout", "steps.c.timeout")):
        with pytest.raises(SpecError):
            plan(text)
    with pytest.raises(SpecError) as caught:
        plan(TWO.replace("steps.b.timeout=1h", "steps.b.timeout=soon"))
    assert "11:30: setting 'steps.b.timeout=soon': timeout: 'soon'" in caught.value.lines[0]


def test_a_python_program_is_refused_what_a_command_is() -> None:
    with closing(Engine(memory=True)) as engine:
        with pytest.raises(Refused, match=r"a run has its inputs: write 'inputs\.n=VALUE' among"):
            simulate("r", inputs={"n": 1}, engine=engine)
        for name in ("settings", "vary", "variants", "faults"):
            text: Any = "max_parallel=1"
            with pytest.raises(Refused, match=rf"{name} are texts: write \['max_parallel=1'\]"):
                simulate("r", engine=engine, **{name: text})


# -- recorded runs --------------------------------------------------------------------------


def test_a_recorded_run_is_matched_and_changed() -> None:
    journal = recorded()
    study = simulate_run(journal, "r", Otherwise(["limits.tight.requests=null"]), FEW)
    assert study.match is not None and study.match.verdict == "good"
    assert study.match.seconds == pytest.approx(120, abs=0.2)
    assert study.baseline.seconds.median == pytest.approx(120, rel=0.05)
    assert study.baseline.calls.median == 7
    (quick,) = study.variants
    assert quick.seconds.median == pytest.approx(100, rel=0.05)
    assert quick.certain is not None and quick.certain[0] > 10
    assert (study.name, study.plan) == ("r", "p")


def test_a_recorded_run_needs_no_file_and_keeps_its_inputs() -> None:
    journal = recorded(n=[1])
    study = simulate_run(journal, "r", Otherwise(variants=["inputs.n=[1,2,3]"]), FEW)
    assert study.baseline.seconds.median == pytest.approx(90, rel=0.05)
    assert study.variants[0].calls.median == study.baseline.calls.median + 2


def test_what_is_said_goes_before_the_record() -> None:
    study = simulate_run(recorded(), "r", Otherwise(["agents.w.latency=1s"]), FEW)
    assert study.variants[0].seconds.median == pytest.approx(120 - 36, rel=0.05)
    both = ["agents.w.latency=1s", "agents.everybody.failing=1"]
    assert simulate_run(recorded(), "r", Otherwise(both), FEW).variants[0].success == 0.0


def test_people_are_as_they_were_until_somebody_says_otherwise() -> None:
    text = "version: 1\nplans: {p: {steps: {a: {approve: ok, timeout: 1m, on_timeout: reject}}}}"
    journal = recorded(text)
    study = simulate_run(journal, "r", Otherwise(["people.after=7s"]), FEW)
    # Nobody answered, and then it was rejected.
    assert medians(study) == {"baseline": 60.0, "people.after=7s": 7.0}
    assert (study.baseline.success, study.variants[0].success) == (0.0, 1.0)


def test_a_run_that_is_not_there() -> None:
    with pytest.raises(NotFound):
        simulate_run(MemoryJournal(), "nope")


def test_answers_are_not_kept_and_it_is_said() -> None:
    note = "Every call of w is made: kept answers are not simulated."
    assert note in plan(CHAIN, Otherwise(["agents.w.cache=1h"])).assumed
    study = simulate_run(recorded(), "r", Otherwise(["agents.w.cache=1h"]), FEW)
    assert note in study.assumed
    assert study.variants[0].seconds == study.baseline.seconds


# -- variants -------------------------------------------------------------------------------


def test_a_value_that_makes_no_plan_is_told_beside_the_others() -> None:
    soft = CHAIN.replace("needs: [a]}", "needs: [a], timeout: 1h}")
    study = plan(soft, Otherwise(vary=["steps.b.needs=[b],[],[a]"]))
    assert named(study)["steps.b.needs=[b]"].why == (
        "setting 'steps.b.needs=[b]': steps.b.needs.0: step 'b' waits for itself"
    )
    assert named(study)["steps.b.needs=[]"].runs == 20
    with pytest.raises(Refused, match=r"setting 'steps\.b\.needs=\[b\]'"):
        plan(CHAIN, Otherwise(vary=["steps.b.needs=[b],[c]"]))
    with pytest.raises(Refused, match=r"setting 'steps\.b\.needs=\[b\]'"):
        plan(CHAIN, Otherwise(["steps.b.needs=[b]"]))


def test_a_value_that_cannot_be_read_is_a_mistake() -> None:
    with pytest.raises(Refused, match="setting 'max_parallel=0': max_parallel: must be at least 1"):
        plan(CHAIN, Otherwise(vary=["max_parallel=0..1"]))


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        (" ", "variant ' ': write settings with spaces between them, as 'a=1 b=2'"),
        ("a='1", 'variant "a=\'1": no closing quotation'),
    ],
)
def test_a_variant_that_cannot_be_read_says_why(variant: str, said: str) -> None:
    with pytest.raises(Refused) as caught:
        plan(CHAIN, Otherwise(variants=[variant]))
    assert str(caught.value) == said


def test_the_same_variant_is_there_once_and_200_at_most() -> None:
    study = plan(CHAIN, Otherwise(["max_parallel=2"], variants=["max_parallel=2"]))
    assert len(study.variants) == 1
    with pytest.raises(Refused, match="201 variants are too many: 200 at most"):
        plan(CHAIN, Otherwise(["max_parallel=9"], vary=["max_parallel=10..209"]))


def test_no_run_is_no_simulation() -> None:
    with pytest.raises(Refused, match="at least one run, and at least one worker"):
        plan(CHAIN, how=Playing(runs=0))


def test_a_study_that_is_stopped_has_as_many_runs_of_each() -> None:
    def stop(done: int, total: int) -> bool:
        return done < 150

    study = plan(CHAIN, Otherwise(["max_parallel=2"]), Playing(runs=1000, progress=stop))
    assert study.baseline.runs == study.variants[0].runs == 50


def test_the_same_seed_gives_the_same_study_also_of_several_workers() -> None:
    journal = recorded()
    other = Otherwise(vary=["max_parallel=1..2"])

    def made(seed: int, workers: int = 1) -> bytes:
        how = Playing(runs=60, seed=seed, workers=workers)
        return msgspec.json.encode(simulate_run(journal, "r", other, how))

    assert made(3) == made(3) == made(3, workers=2)
    assert made(3) != made(4)


def test_agents_of_a_plan_can_be_sent_to_other_processes() -> None:
    how = Playing(runs=10, workers=2)
    assert plan(CHAIN, how=how) == plan(CHAIN, how=Playing(runs=10))
    assert pickle.loads(pickle.dumps(plan(MODELS))) == plan(MODELS)


def test_an_agent_that_asks_a_model_of_the_record_is_as_the_other(tmp_path: Path) -> None:
    # The record is of scripted agents that pass for models in the run's spec.
    journal = recorded(
        MODELS.replace("{model: slow}", "{scripted: {replies: [{output: a, after: 30s}]}}").replace(
            "{model: quick}", "{scripted: {replies: [{output: b, after: 3s}]}}"
        )
    )
    study = simulate_run(as_models(journal), "r", Otherwise(["agents.w.model=openai:quick"]), FEW)
    assert medians(study)["agents.w.model=openai:quick"] == pytest.approx(6, rel=0.2)
    assert "Calls of w by openai:quick are taken to be as those of v." in study.assumed
    other = simulate_run(as_models(journal), "r", Otherwise(["agents.w.model=openai:new"]), FEW)
    assert other.variants[0].seconds.median == pytest.approx(33, rel=0.1)
    assert (
        "Nobody in the record asks openai:new: calls of w are taken to last as long as before. "
        "Settings say it, as agents.w.latency=3s." in other.assumed
    )


def as_models(journal: MemoryJournal) -> MemoryJournal:
    """The journal with its run as one of models."""
    spec: RunSpec = load(MODELS).spec("p")
    read = journal.read

    class Pretending:
        def __getattr__(self, name: str) -> object:
            return getattr(journal, name)

        def read(self, run: str, after: int = 0) -> object:
            for one in read(run, after):
                event = one.event
                if hasattr(event, "spec"):
                    event = msgspec.structs.replace(event, spec=spec)
                yield msgspec.structs.replace(one, event=event)

    return Pretending()  # type: ignore[return-value]


def test_the_errors_are_the_callers() -> None:
    with pytest.raises(CallerError, match="did you mean 'tight'"):
        plan(CHAIN, Otherwise(["limits.tigt.requests=3/min"]))


# -- ties -----------------------------------------------------------------------------------


def test_members_of_a_team_that_answer_at_once_are_heard_one_after_the_other() -> None:
    text = """
version: 1
agents:
  f:
    scripted:
      replies: [{output: ans, after: 300ms}]
      by: {Vote for the one: [{output: {vote: A, confidence: 0.9, reason: r}, after: 200ms}]}
plans:
  p:
    steps:
      s:
        consensus:
          {question: "Q?", agents: [{agent: f, count: 5}], policy: restart_all, early: false}
"""
    study = plan(text)
    # Were all five answers there at one instant, each would vote once: ten calls.
    assert study.baseline.calls.median > 10
    assert study.baseline.seconds.median == pytest.approx(0.7, abs=0.02)
