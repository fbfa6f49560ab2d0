"""The engine runs ahead of the disk, but not without bound."""

from hocket.engine.backlog import AHEAD, Backlog


def test_calls_wait_once_too_much_is_on_its_way_and_go_on_when_it_is_there() -> None:
    backlog = Backlog(10)
    assert not backlog.holds(10 + AHEAD)
    assert backlog.holds(11 + AHEAD)
    assert backlog.written(11)
    assert not backlog.holds(11 + AHEAD)
    assert not backlog.written(12)


def test_nobody_is_woken_who_has_not_waited() -> None:
    assert not Backlog(0).written(5)
