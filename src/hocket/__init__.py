"""Hocket runs teams of agents as plans: crash-safe, within their limits, accountable afterwards.

Only public names live here; each is defined in the room that it belongs to, and comes from there
when it is first asked for: whoever wants the help text does not wait for the engine.
"""

import importlib
import typing

from hocket._version import __version__

if typing.TYPE_CHECKING:
    from hocket.agents.base import Context, Reply, Request
    from hocket.agents.output import File
    from hocket.app.engine import Engine, run, run_sync
    from hocket.app.insight import explain, simulate
    from hocket.app.result import Result
    from hocket.app.run import Run, Token
    from hocket.app.stream import Done, Piece, Reset
    from hocket.config.agent import Agent
    from hocket.config.builder import Plan
    from hocket.config.handles import Approval, Ref, Step
    from hocket.config.limit import Budget, Limit
    from hocket.config.outcomes import Consensus
    from hocket.config.panel import Contributor, Learned
    from hocket.config.team import Review, Seat
    from hocket.config.tool import Cache, Tool
    from hocket.core.errors import (
        AgentError,
        CallerError,
        EngineBug,
        Fault,
        HocketError,
        JournalError,
        NotFound,
        OwnershipLost,
        PeerError,
        Problem,
        Refused,
        RunFailed,
        SpecError,
    )
    from hocket.core.machine import StepView
    from hocket.core.specs import Repeat, Retry
    from hocket.engine.limiter import Limiter
    from hocket.insight.explain import Explanation
    from hocket.insight.tally import Tally
    from hocket.simulator.outcome import Study

__all__ = [
    "Agent",
    "AgentError",
    "Approval",
    "Budget",
    "Cache",
    "CallerError",
    "Consensus",
    "Context",
    "Contributor",
    "Done",
    "Engine",
    "EngineBug",
    "Explanation",
    "Fault",
    "File",
    "HocketError",
    "JournalError",
    "Learned",
    "Limit",
    "Limiter",
    "NotFound",
    "OwnershipLost",
    "PeerError",
    "Piece",
    "Plan",
    "Problem",
    "Ref",
    "Refused",
    "Repeat",
    "Reply",
    "Request",
    "Reset",
    "Result",
    "Retry",
    "Review",
    "Run",
    "RunFailed",
    "Seat",
    "SpecError",
    "Step",
    "StepView",
    "Study",
    "Tally",
    "Token",
    "Tool",
    "__version__",
    "explain",
    "run",
    "run_sync",
    "simulate",
]

_WHERE = {
    "Agent": "hocket.config.agent",
    "AgentError": "hocket.core.errors",
    "Approval": "hocket.config.handles",
    "Budget": "hocket.config.limit",
    "Cache": "hocket.config.tool",
    "CallerError": "hocket.core.errors",
    "Consensus": "hocket.config.outcomes",
    "Context": "hocket.agents.base",
    "Contributor": "hocket.config.panel",
    "Done": "hocket.app.stream",
    "Engine": "hocket.app.engine",
    "EngineBug": "hocket.core.errors",
    "Explanation": "hocket.insight.explain",
    "Fault": "hocket.core.errors",
    "File": "hocket.agents.output",
    "HocketError": "hocket.core.errors",
    "JournalError": "hocket.core.errors",
    "Learned": "hocket.config.panel",
    "Limit": "hocket.config.limit",
    "Limiter": "hocket.engine.limiter",
    "NotFound": "hocket.core.errors",
    "OwnershipLost": "hocket.core.errors",
    "PeerError": "hocket.core.errors",
    "Piece": "hocket.app.stream",
    "Plan": "hocket.config.builder",
    "Problem": "hocket.core.errors",
    "Ref": "hocket.config.handles",
    "Refused": "hocket.core.errors",
    "Repeat": "hocket.core.specs",
    "Reply": "hocket.agents.base",
    "Request": "hocket.agents.base",
    "Reset": "hocket.app.stream",
    "Result": "hocket.app.result",
    "Retry": "hocket.core.specs",
    "Review": "hocket.config.team",
    "Run": "hocket.app.run",
    "RunFailed": "hocket.core.errors",
    "Seat": "hocket.config.team",
    "SpecError": "hocket.core.errors",
    "Step": "hocket.config.handles",
    "StepView": "hocket.core.machine",
    "Study": "hocket.simulator.outcome",
    "Tally": "hocket.insight.tally",
    "Token": "hocket.app.run",
    "Tool": "hocket.config.tool",
    "explain": "hocket.app.insight",
    "run": "hocket.app.engine",
    "run_sync": "hocket.app.engine",
    "simulate": "hocket.app.insight",
}


if not typing.TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _WHERE:
            raise AttributeError(f"module 'hocket' has no attribute {name!r}")
        value = getattr(importlib.import_module(_WHERE[name]), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
