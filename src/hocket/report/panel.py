"""What a panel's reply was made of: who has contributed, and who is missing and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from hocket.core.machine import StepView
from hocket.core.run import RunMachine
from hocket.core.values import Json
from hocket.report.team import said_words
from hocket.report.text import one_line, table
from hocket.workflows.panel import GATHER, LATER, REVISION, SELECT

_SAID: Final = 100


class Gathered(NamedTuple):
    """What is known of a panel, as of the reply: what came after that has helped nobody.

    Fields:
        contributions: What was contributed, by name.
        missing: Why others are missing, by name.
        skipped: Why others were not asked, by name.
        revised: Whether the reply was made anew with what came late.
        unselected: Why everybody was asked though somebody was to select, or "".
    """

    contributions: Mapping[str, Json]
    missing: Mapping[str, str]
    skipped: Mapping[str, str]
    revised: bool
    unselected: str


def panels(machine: RunMachine, views: Sequence[StepView] | None = None) -> dict[str, Gathered]:
    """Give the panels of a run whose reply was begun, by the paths of their steps.

    Args:
        machine: The run.
        views: Its steps, if they are at hand.
    """
    steps = {view.path: view for view in (machine.view() if views is None else views)}
    found: dict[str, Gathered] = {}
    for path, view in steps.items():
        before, _, name = path.rpartition("/")
        if name != GATHER or view.kind != "gather" or view.status != "succeeded":
            continue
        inner = f"{before}/" if before else ""
        revision, router = steps.get(inner + REVISION), steps.get(inner + SELECT)
        revised = revision is not None and revision.status == "succeeded"
        said = machine.workflow.result(inner + LATER if revised else path)
        assert isinstance(said, dict)
        failed = router is not None and router.status == "failed"
        found[before] = Gathered(
            contributions=said["there"],
            missing=said["missing"],
            skipped=said["skipped"],
            revised=revised,
            unselected=router.detail if failed and router is not None else "",
        )
    return found


def panel_data(panel: Gathered) -> dict[str, Any]:
    """Give a panel for programs."""
    return {**panel._asdict(), "unselected": panel.unselected or None}


def panel_lines(path: str, panel: Gathered) -> list[str]:
    """Give all that is known of a panel."""
    there = len(panel.contributions)
    count = f"{there} of {there + len(panel.missing)} contributions"
    revised = ", revised with what came late" if panel.revised else ""
    head = f"{path}: panel replies to {count}{revised}".removeprefix(": ")
    return [head, "", *(f"  {line}" for line in speaker_lines(panel))]


def speaker_lines(panel: Gathered) -> list[str]:
    """Give a line for everybody: what was contributed, or why it was not."""
    rows = [
        [name, "", one_line(said_words(said), _SAID)] for name, said in panel.contributions.items()
    ]
    rows += [[name, "missing", one_line(why, _SAID)] for name, why in panel.missing.items()]
    rows += [[name, "not asked", one_line(why, _SAID)] for name, why in panel.skipped.items()]
    if panel.unselected:
        why = f"failed, so that everybody was asked: {one_line(panel.unselected, _SAID)}"
        rows.append([SELECT, "", why])
    return table(["WHO", "", "SAYS"], rows)
