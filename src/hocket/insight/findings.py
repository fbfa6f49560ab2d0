"""What an explanation finds: a cause of slowness or waste, its evidence, and a change to try."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One cause of slowness or waste.

    Fields:
        kind: Which kind of cause, as in `hocket.insight.find.FINDINGS`.
        subject: What it is about: a limit, a step, an agent, a model.
        title: One sentence for a person, with the numbers.
        detail: The rest, in a few sentences; "" if there is none.
        cost: By how much the run would have been shorter without it, in nanoseconds, as far as
            what the finish waited for tells.
        share: `cost` as a share of the run's time.
        money: Pico-dollars that it cost.
        tokens: Tokens read and written for its sake.
        evidence: Where the facts stand, as `hocket.insight.trace.Trace.evidence` says.
        advice: What to change, in words.
        change: The same as settings, ``KEY=VALUE`` as ``hocket simulate --set`` takes them; nothing
            if no setting says it.
    """

    kind: str
    subject: str
    title: str
    detail: str = ""
    cost: int = 0
    share: float = 0.0
    money: int = 0
    tokens: int = 0
    evidence: tuple[int, ...] = ()
    advice: str = ""
    change: tuple[str, ...] = ()
