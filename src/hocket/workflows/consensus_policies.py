"""What each policy of a consensus means, as plain switches of one machine.

Whatever the policy, nothing is decided before every first answer is in, failed or late, and a
vote counts only if the voter has seen the latest revision of every answer.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hocket.core.teams import Policy


class Way(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How members go on when there is a new answer.

    Fields:
        in_turn: First answers are asked one after the other, with those before in view.
        eager: Who has answered votes at once, and again whenever its vote has become void.
            Otherwise votes are asked in rounds, the first one when all first answers are in.
        redoes: A first answer that was given without knowledge of the latest one is void, too.
        cuts: Votes under way on what is no longer the latest are cut off.
        tells: Who is at work is told of what is new; a void vote is asked again only once all
            first answers are in, and then with what is new alone.
        collects: What is new is collected for a while before anybody is asked.
        revises: Instead of voting a member may give a new answer.
    """

    in_turn: bool = False
    eager: bool = False
    redoes: bool = False
    cuts: bool = False
    tells: bool = False
    collects: bool = False
    revises: bool = False


WAYS: Final[dict[Policy, Way]] = {
    "once": Way(),
    "rounds": Way(revises=True),
    "sequential": Way(in_turn=True),
    "restart_all": Way(eager=True),
    "restart_unanswered": Way(eager=True, redoes=True),
    "cancel": Way(eager=True, cuts=True),
    "inject": Way(eager=True, tells=True),
    "batch": Way(eager=True, collects=True),
}
