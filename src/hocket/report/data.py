"""A run as one document for programs; the form of ``--json``."""

from __future__ import annotations

from typing import Any

import msgspec

from hocket.core.machine import StepView
from hocket.core.run import RunMachine
from hocket.insight.tally import Tally
from hocket.report.panel import panel_data, panels
from hocket.report.team import team_data


def run_document(
    machine: RunMachine, tally: Tally, views: list[StepView] | None = None
) -> dict[str, Any]:
    """Give a run's state: status, output, steps, teams, panels, calls, tokens, cost, seconds.

    Args:
        machine: The run.
        tally: What it has spent.
        views: Its steps, where they are shown otherwise than the machine alone would.
    """
    end = machine.end
    views = machine.view() if views is None else views
    return {
        "run": machine.run,
        "plan": machine.spec.name,
        "status": machine.said,
        "reason": end.reason if end is not None else machine.pause_reason,
        "output": end.output if end is not None else None,
        "seconds": round((machine.at - machine.started_at) / 1e9, 6),
        "steps": [msgspec.to_builtins(view) for view in views],
        "teams": {path: team_data(one) for path, one in machine.workflow.reports().items()},
        "panels": {path: panel_data(one) for path, one in panels(machine, views).items()},
        "held": [str(job.call) for job in machine.calls.held()],
        "calls": {
            "started": tally.started,
            "finished": tally.finished,
            "failed": tally.failed,
            "cancelled": tally.cancelled,
            "lost": tally.lost,
        },
        "kept": {
            "hits": tally.kept,
            "misses": tally.missed,
            "saved_usd": tally.saved / 1e12,
            "saved_tokens": tally.saved_tokens,
        },
        "tokens": {
            "in": tally.tokens_in,
            "cached": tally.tokens_cached,
            "out": tally.tokens_out,
        },
        "cost_usd": tally.dollars,
        "unpriced_calls": tally.unpriced,
    }
