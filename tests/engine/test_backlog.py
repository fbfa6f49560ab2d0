"""The engine runs ahead of the disk, but not without bound."""

from hocket.core.values import MS
from hocket.engine.backlog import AHEAD, WORTH_TELLING, Backlog


def test_calls_wait_once_too_much_is_on_its_way_and_go_on_when_it_is_there() -> None:
    backlog = Backlog(10)
    assert not backlog.holds(10 + AHEAD, 0)
    assert backlog.holds(11 + AHEAD, 5 * MS)
    assert backlog.written(11)
    assert not backlog.holds(11 + AHEAD, 6 * MS)


def test_nobody_is_woken_who_has_not_waited() -> None:
    assert not Backlog(0).written(5)


def test_a_wait_is_told_from_where_it_began_and_only_once() -> None:
    backlog = Backlog(0)
    assert backlog.holds(AHEAD + 1, 100 * MS)
    assert backlog.holds(AHEAD + 2, 150 * MS)
    assert backlog.waited(101 * MS + WORTH_TELLING) == 100 * MS
    assert backlog.waited(102 * MS + WORTH_TELLING) == 0


def test_a_short_wait_is_not_worth_telling() -> None:
    backlog = Backlog(0)
    assert backlog.holds(AHEAD + 1, 100 * MS)
    assert backlog.waited(100 * MS + WORTH_TELLING) == 0
