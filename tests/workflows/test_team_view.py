"""What people see of a team at work."""

from tests.machines import Drive, step

from hocket.core.specs import AgentSpec
from hocket.core.teams import ConsensusSpec, Member

AGENTS = {"m": AgentSpec(kind="model")}
TEAM = ConsensusSpec(members=tuple(Member(name=f"m{i}", agent="m") for i in range(2)))


def states(drive: Drive) -> dict[str, str]:
    return {view.path: view.status for view in drive.machine.view()}


def test_a_member_whose_call_has_not_left_is_pending() -> None:
    made = step("q", kind="consensus", agent="", team=TEAM, input="Why?")
    drive = Drive(made, agents=AGENTS, start=False)
    assert states(drive) == {"q": "running", "q/m0/answer": "pending", "q/m1/answer": "pending"}
    drive.launch("q/m1/answer")
    assert states(drive)["q/m1/answer"] == "running"
    drive.crash()
    assert states(drive)["q/m1/answer"] == "pending"
