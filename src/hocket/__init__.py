"""Hocket runs teams of agents as plans: crash-safe, within their limits, accountable afterwards.

Only public names live here; each is defined in the room that it belongs to.
"""

from hocket._version import __version__
from hocket.agents.base import Context, Reply, Request
from hocket.agents.output import File
from hocket.app.engine import Engine, run, run_sync
from hocket.app.result import Result
from hocket.app.run import Run, Token
from hocket.config.agent import Agent
from hocket.config.builder import Plan
from hocket.config.handles import Ref, Step
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
from hocket.insight.tally import Tally

__all__ = [
    "Agent",
    "AgentError",
    "CallerError",
    "Context",
    "Engine",
    "EngineBug",
    "Fault",
    "File",
    "HocketError",
    "JournalError",
    "NotFound",
    "OwnershipLost",
    "PeerError",
    "Plan",
    "Problem",
    "Ref",
    "Refused",
    "Repeat",
    "Reply",
    "Request",
    "Result",
    "Retry",
    "Run",
    "RunFailed",
    "SpecError",
    "Step",
    "StepView",
    "Tally",
    "Token",
    "__version__",
    "run",
    "run_sync",
]
