from hypothesis import given
from hypothesis import strategies as st

from hocket.core.deadlines import Deadlines


def always(key: object) -> bool:
    return True


def test_the_soonest_comes_first_and_ties_keep_their_order() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for at, key in ((5, "b"), (3, "a"), (5, "c"), (9, "d")):
        deadlines.add(at, key)
    assert deadlines.next(always) == 3
    assert deadlines.due(5, always) == ["a", "b", "c"]
    assert deadlines.next(always) == 9


def test_nothing_is_due_before_its_time() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.add(5, "a")
    assert deadlines.due(4, always) == []
    assert deadlines.next(always) == 5


def test_what_no_longer_holds_is_dropped_when_it_surfaces() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.add(1, "stale")
    deadlines.add(2, "good")
    assert deadlines.next(lambda key: key == "good") == 2
    assert len(deadlines) == 1


def test_stale_entries_behind_the_last_good_one_are_no_deadline() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.add(1, "stale")
    assert deadlines.next(lambda key: False) is None
    assert deadlines.due(9, always) == []


def test_tidying_keeps_what_holds() -> None:
    deadlines: Deadlines[int] = Deadlines()
    for at in range(100):
        deadlines.add(100 - at, at)
    deadlines.tidy(lambda key: key % 10 == 0)
    assert len(deadlines) == 10
    assert deadlines.due(100, always) == [90, 80, 70, 60, 50, 40, 30, 20, 10, 0]


def test_trimming_keeps_stale_entries_from_being_most_of_a_long_heap() -> None:
    deadlines: Deadlines[int] = Deadlines()
    for at in range(30_000):
        deadlines.trim(lambda key, now=at: key > now - 6_000)
        deadlines.add(at, at)
        assert len(deadlines) < 15_000
    assert deadlines.fork().due(30_000, always)[-6_000:] == list(range(24_000, 30_000))


def test_a_fork_goes_its_own_way() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.add(1, "a")
    fork = deadlines.fork()
    fork.add(0, "b")
    assert deadlines.next(always) == 1
    assert fork.due(1, always) == ["b", "a"]
    assert deadlines.due(1, always) == ["a"]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5))), st.sets(st.integers(0, 5)))
def test_it_gives_what_a_sorted_list_gives(entries, good) -> None:
    deadlines: Deadlines[int] = Deadlines()
    for at, key in entries:
        deadlines.add(at, key)
    wanted = sorted((at, i) for i, (at, key) in enumerate(entries) if key in good)
    assert deadlines.next(good.__contains__) == (wanted[0][0] if wanted else None)
    due = [entries[i][1] for at, i in wanted if at <= 25]
    assert deadlines.due(25, good.__contains__) == due
