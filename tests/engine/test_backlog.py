"""The engine runs ahead of the disk, but not without bound."""

from hocket.engine.backlog import AHEAD, STILL, Backlog


def test_calls_wait_once_too_much_is_on_its_way_and_go_on_when_it_is_there() -> None:
    backlog = Backlog(10)
    assert not backlog.holds(10 + AHEAD, 0)
    assert backlog.holds(11 + AHEAD, 0)
    assert backlog.written(11)
    assert not backlog.holds(11 + AHEAD, 0)
    assert not backlog.written(12)


def test_nobody_is_woken_who_has_not_waited() -> None:
    assert not Backlog(0).written(5)


def test_calls_wait_while_nothing_reaches_the_disk_for_long() -> None:
    backlog = Backlog(10)
    assert not backlog.holds(12, 5)
    assert not backlog.holds(13, 5 + STILL)
    assert backlog.holds(13, 6 + STILL)
    assert backlog.written(11)
    # What is left has begun to be late only now.
    assert not backlog.holds(13, 7 + STILL)
    assert backlog.holds(13, 8 + 2 * STILL)


def test_nobody_waits_for_a_disk_that_has_everything() -> None:
    backlog = Backlog(10)
    assert not backlog.holds(11, 0)
    assert not backlog.written(11)
    assert not backlog.holds(11, 10 * STILL)
    assert not backlog.holds(12, 10 * STILL)
