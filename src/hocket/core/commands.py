"""What a machine asks the shell to do.

Commands are drained from a machine after events were applied.
They are never recorded: a machine folded from a journal asks again for whatever is still to do.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from hocket.core.events import (
    ApprovalAsked,
    InputAsked,
    RunEnded,
    StepFailed,
    StepSkipped,
)
from hocket.core.values import Call


class StartCall(msgspec.Struct, frozen=True, gc=False):
    """Start a call as soon as its limits admit it.

    Fields:
        call: Its name.
        agent: Who does it.
        effects: Whether it must wait until its `started` is on disk.
        ready: Since when it could have run, for its waits.
        asked: Since when it waits in all; the stretch before `ready` is its back-off.
        hedge: Whether it is a second call beside one that is late.
    """

    call: Call
    agent: str
    effects: bool
    ready: int
    asked: int
    hedge: bool = False


class CancelCall(msgspec.Struct, frozen=True, gc=False):
    """Take a call out of the queue, or stop it; `hard` leaves it no time to end by itself."""

    call: Call
    reason: str
    hard: bool = False


class Record(msgspec.Struct, frozen=True):
    """Append a fact that follows from others, for those who read the journal."""

    event: ApprovalAsked | InputAsked | StepSkipped | StepFailed | RunEnded


Command: TypeAlias = StartCall | CancelCall | Record
