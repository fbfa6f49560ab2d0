"""A drafted plan for people and for programs."""

from __future__ import annotations

from typing import Final

import msgspec

from hocket.agents.terminal import visible
from hocket.config.drafts import Confidence, Drafted
from hocket.core.values import Json
from hocket.core.views import stands
from hocket.report.prediction import prediction_data, prediction_lines
from hocket.report.text import one_line, table

_CELLS: Final = 20
_WIDE: Final = 70
_WIDEST: Final = 300


def draft_document(found: Drafted, now: int) -> dict[str, Json]:
    """Give a draft as one document.

    Args:
        found: It.
        now: The present instant.
    """
    return {
        "run": found.run,
        "status": found.status,
        "reason": found.reason,
        "ready": found.draft is not None,
        "draft": None if found.draft is None else msgspec.to_builtins(found.draft),
        "confidence": (
            None if found.draft is None else msgspec.to_builtins(found.draft.confidence)
        ),
        "risks": [] if found.draft is None else msgspec.to_builtins(list(found.draft.risks)),
        "text": found.text,
        "digest": found.digest,
        "agents": list(found.agents),
        "problems": list(found.problems),
        "needs_approval": bool(found.why),
        "why": list(found.why),
        "prediction": None if found.prediction is None else prediction_data(found.prediction, now),
    }


def draft_lines(found: Drafted, now: int) -> list[str]:
    """Give a draft as lines: what it does, its steps, how sure it is, what may go wrong."""
    draft = found.draft
    if draft is None:
        return [f"no draft: the planning run {stands(found.status)}. {found.reason}".rstrip(". ")]
    lines = [visible(draft.title), "", *visible(draft.summary).splitlines(), ""]
    rows = [
        [
            f"  {step.name}",
            step.agent,
            ", ".join(step.needs),
            "a person first" if step.approve else "",
            one_line(visible(step.why or step.prompt), _WIDE),
        ]
        for step in draft.steps
    ]
    lines += [visible(line) for line in table(["  step", "by", "needs", "approval", "what"], rows)]
    if found.agents:
        lines += ["", "what these agents are:"]
        lines += [f"  {one_line(visible(agent), _WIDEST)}" for agent in found.agents]
    lines += ["", "how sure the planner says to be:", *_bars(draft.confidence)]
    if draft.risks:
        lines += ["", "what may go wrong:"]
        for risk in draft.risks:
            lines.append(f"  {risk.severity}: {one_line(visible(risk.what))}")
            if risk.mitigation:
                lines.append(f"    {one_line(visible(risk.mitigation))}")
    if draft.questions:
        lines += ["", "what it would have asked:"]
        lines += [f"  {one_line(visible(question))}" for question in draft.questions]
    lines.append("")
    if found.problems:
        lines += ["mistakes in it:", *[f"  {visible(line)}" for line in found.problems]]
    if found.prediction is not None:
        lines += prediction_lines(found.prediction, now)
    lines += [f"needs approval: {one_line(visible(why))}" for why in found.why]
    return lines


def _bars(confidence: Confidence) -> list[str]:
    named = [(name, getattr(confidence, name)) for name in confidence.__struct_fields__]
    return [
        f"  {name.replace('_', ' '):<13}{'█' * round(share * _CELLS):·<{_CELLS}} {share:.0%}"
        for name, share in named
    ]
