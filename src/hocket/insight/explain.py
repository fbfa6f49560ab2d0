"""Everything that is known of why a run took as long, and cost as much, as it did."""

from __future__ import annotations

import msgspec

from hocket.insight.account import Account, Spending, account, spending
from hocket.insight.bounds import Bounds, bounds
from hocket.insight.chains import Chains, chains
from hocket.insight.find import find
from hocket.insight.findings import Finding
from hocket.insight.headline import headline
from hocket.insight.load import Load, Use, load, uses
from hocket.insight.path import Critical, critical
from hocket.insight.trace import Trace


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run took as long, and cost as much, as it did.

    Fields:
        trace: The run.
        headline: The one sentence to read first.
        account: What the finish waited for at each instant.
        spending: What calls, tokens and money went to.
        critical: The longest path of work, and how much later all else could have ended.
        bounds: The instants before which no schedule could have ended.
        load: How many calls were in flight, against their caps.
        uses: How much of each limit's windows was used.
        chains: Which answers made which calls void.
        findings: What stands out, the dearest first.
    """

    trace: Trace
    headline: str
    account: Account
    spending: Spending
    critical: Critical
    bounds: Bounds
    load: Load
    uses: list[Use]
    chains: Chains
    findings: list[Finding]


def explain(trace: Trace) -> Explanation:
    """Explain a run; the same trace gives the same explanation."""
    accounted = account(trace)
    findings = find(trace, accounted)
    return Explanation(
        trace=trace,
        headline=headline(trace, accounted, findings),
        account=accounted,
        spending=spending(trace),
        critical=critical(trace),
        bounds=bounds(trace),
        load=load(trace),
        uses=uses(trace),
        chains=chains(trace),
        findings=findings,
    )
