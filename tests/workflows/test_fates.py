"""What became of each call, by its name, adds up to the reports' sums."""

from __future__ import annotations

from collections import Counter

from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec
from hocket.core.teams import ConsensusSpec, Member
from hocket.simulator.agents import Cast, Player
from hocket.simulator.play import play
from hocket.simulator.teams import voter
from hocket.workflows.plan import fates_of


def test_fates_by_name_add_up_to_the_sums_of_the_report() -> None:
    members = tuple(Member(name=f"m{i}", agent="a") for i in range(5))
    team = ConsensusSpec(members=members, policy="restart_all")
    inner = PlanSpec(name="i", steps=(StepSpec(name="q", kind="consensus", input="x", team=team),))
    plan = PlanSpec(name="p", steps=(StepSpec(name="n", kind="plan", plan=inner),))
    spec = RunSpec(workflow=plan, agents={"a": AgentSpec(kind="scripted")})
    played = play(spec, {}, Cast({"a": Player(gives=voter())}), seed=3)

    workflow = played.machine.workflow
    fates = fates_of(workflow)
    (report,) = workflow.reports().values()

    assert fates.keys() == {str(made.call) for made in played.calls}
    assert Counter(fates.values()) == {fate: one.calls for fate, one in report.fates.items()}
