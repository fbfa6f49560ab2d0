"""An owner is cut off the network for a while, and comes back: nothing is lost, nothing twice.

What was in flight there is made again, and so is what its owner began without its journal's word.
A node of a cluster that is cut off is in ``test_faults.py``; ``bench/node_faults.py`` cuts for ten
seconds.
"""

from __future__ import annotations

import pytest
from tests.cluster import faults
from tests.cluster.faults import LEASE
from tests.cluster.steps import TAKES

from hocket.core.values import SECOND
from hocket.engine.backlog import STILL

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("several_machines")]


def test_an_owner_that_is_cut_off_from_its_journal_is_replaced_and_has_no_say_any_more() -> None:
    slots = 2
    outcome = faults.supervisor_cut_off(1, seconds=LEASE + 2, runs=4, each=40, slots=slots)
    assert outcome.statuses == {"succeeded"}
    assert outcome.lost == []
    assert outcome.twice == []
    assert max(each.owners for each in outcome.stories) == 3
    # Calls without effects go on for a moment without the journal's word, and no longer.
    allowed = slots * (STILL / SECOND / TAKES + 2)
    assert len(outcome.verdict.needless) <= allowed
