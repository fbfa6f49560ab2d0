"""What a team is expected to do is what it does when everybody agrees."""

import pytest
from tests.machines import Drive, step

from hocket.core.specs import AgentSpec
from hocket.core.teams import ConsensusSpec, Member, ReviewSpec, ToolSpec
from hocket.core.values import step_of
from hocket.workflows.stages import likely_output, stages

AGENTS = {
    "m": AgentSpec(kind="model"),
    "t": AgentSpec(kind="model", tools={"look": ToolSpec(agent="f")}),
    "f": AgentSpec(kind="function"),
}
MEMBERS = tuple(Member(name=f"m{i}", agent="m") for i in range(5))
TEAMS = {
    "once": ConsensusSpec(members=MEMBERS, early=False),
    "sequential": ConsensusSpec(members=MEMBERS, early=False, policy="sequential"),
    "synthesis": ConsensusSpec(members=MEMBERS, early=False, final="synthesize"),
    "waves": ReviewSpec(members=MEMBERS[:2], swarm=6),
    "one wave": ReviewSpec(members=MEMBERS[:2], swarm=6, waves=False, early=False),
    "threshold 1": ReviewSpec(members=MEMBERS, swarm=4, threshold=1.0),
    "corrected": ReviewSpec(members=MEMBERS, swarm=3, protocol="self-correct", early=False),
}


@pytest.mark.parametrize("name", TEAMS)
def test_the_calls_that_are_expected_are_those_that_are_made(name: str) -> None:
    team = TEAMS[name]
    kind = "consensus" if isinstance(team, ConsensusSpec) else "review"
    made = step("s", kind=kind, agent="", team=team, input="this")
    drive = Drive(made, agents=AGENTS)
    asked: list[str] = []
    while jobs := list(drive.machine.calls.jobs.items()):
        for path, job in jobs:
            if path in drive.machine.calls.jobs:
                asked.append(step_of(path))
                drive.done(path, likely_output(job.spec))
    assert drive.machine.said == "succeeded"
    expected = [f"s/{path}" for stage in stages(made, AGENTS) for path, _ in stage]
    assert sorted(asked) == sorted(expected)


def test_a_step_that_no_team_does_has_no_stages() -> None:
    assert stages(step("s", agent="m"), AGENTS) == []


def test_an_author_goes_before_its_reviewers() -> None:
    review = ReviewSpec(members=MEMBERS[:1], swarm=1)
    assert [len(stage) for stage in stages(step("s", agent="m", review=review), AGENTS)] == [1, 1]
    assert stages(step("s", agent="t"), AGENTS) == [[("turn", "t")], [("turn", "t")]]
