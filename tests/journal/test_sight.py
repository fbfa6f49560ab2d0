"""Whose lease has lapsed, by what was seen of the database; leases of 10, heartbeats of 2."""

from hocket.journal.sight import Sight


def sight() -> Sight:
    """Sees a database that was there long before."""
    seen = Sight(10, 2)
    seen.is_up(-1000)
    seen.saw(100, 100)
    return seen


def test_as_long_as_the_database_is_seen_a_lease_lapses_when_it_ends() -> None:
    seen = sight()
    assert seen.lapsed_before(100) == 100
    # Nothing was asked of it, so nothing was missed.
    assert seen.lapsed_before(500) == 500
    seen.saw(500, 502)
    assert seen.lapsed_before(502) == 502


def test_a_lease_that_ended_in_a_gap_lapses_one_lease_after_it() -> None:
    seen = sight()
    seen.missed(110)
    assert seen.lapsed_before(112) == 112, "a heartbeat is no gap"
    assert seen.lapsed_before(113) == 110
    seen.missed(130)
    seen.saw(139, 140)
    assert seen.lapsed_before(149) == 110, "what had ended before the gap"
    assert seen.lapsed_before(150) == 150


def test_an_answer_that_came_late_ends_a_gap() -> None:
    seen = sight()
    seen.saw(110, 140)
    assert seen.lapsed_before(149) == 110
    assert seen.lapsed_before(150) == 150


def test_what_one_connection_sees_is_seen() -> None:
    seen = sight()
    seen.saw(119, 120)
    # Another connection has waited from 110 on for a lock, and a third was lost.
    seen.saw(110, 121)
    seen.missed(110)
    assert seen.lapsed_before(123) == 123
    seen.saw(123, 123)
    assert seen.lapsed_before(124) == 124


def test_a_gap_before_the_owners_had_their_time_is_the_same_gap() -> None:
    seen = sight()
    seen.missed(110)
    seen.saw(140, 140)
    seen.missed(145)
    seen.saw(152, 152)
    assert seen.lapsed_before(161) == 110
    assert seen.lapsed_before(162) == 162


def test_nobody_is_judged_right_after_the_servers_start() -> None:
    seen = Sight(10, 2)
    seen.saw(100, 100)
    seen.is_up(95)
    assert seen.lapsed_before(104) is None
    assert seen.lapsed_before(105) == 105
