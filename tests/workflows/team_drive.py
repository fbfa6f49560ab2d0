"""What tests ask of a plan whose only step is a team's."""

from __future__ import annotations

from typing import Any

from tests.machines import Drive

from hocket.core.reports import Fate, Report
from hocket.workflows.team import Team


class TeamDrive(Drive):
    """Drives a run whose first step is a team's."""

    team_step: str
    """What that step is called."""

    @property
    def asks(self) -> list[str]:
        """What is in flight and wanted, without the step."""
        jobs = self.machine.calls.jobs
        return [p.removeprefix(f"{self.team_step}/") for p in self.flying if not jobs[p].dropped]

    @property
    def team(self) -> Team:
        workflow: Any = self.machine.workflow
        found = workflow._state.live[0].children[self.team_step]
        assert isinstance(found, Team)
        return found

    @property
    def report(self) -> Report:
        return self.machine.workflow.reports()[self.team_step]

    @property
    def fates(self) -> dict[Fate, int]:
        return {fate: entry.calls for fate, entry in self.report.fates.items()}

    @property
    def rows(self) -> list[str]:
        return [f"{row.member} {row.what} {row.detail}".strip() for row in self.report.rows]

    @property
    def started(self) -> int:
        return len(self.said("CallStarted"))
