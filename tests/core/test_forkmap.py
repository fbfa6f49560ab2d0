import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from hocket.core.forkmap import ForkMap


def test_a_fork_sees_what_was_there_and_both_go_on_alone() -> None:
    ours: ForkMap[str, int] = ForkMap()
    ours["a"] = 1
    theirs = ours.fork()
    ours["b"] = 2
    theirs["a"] = 9
    assert (ours["a"], ours["b"], theirs["a"]) == (1, 2, 9)
    assert "b" not in theirs


def test_a_missing_key_is_a_key_error() -> None:
    empty: ForkMap[str, int] = ForkMap()
    with pytest.raises(KeyError):
        empty["a"]
    with pytest.raises(KeyError):
        empty.fork()["a"]


def test_every_key_is_given_once() -> None:
    ours: ForkMap[str, int] = ForkMap()
    for key in "abc":
        ours[key] = 1
        ours.fork()
    ours["a"] = 2
    assert sorted(ours) == ["a", "b", "c"]


def test_many_forks_leave_few_layers() -> None:
    ours: ForkMap[int, int] = ForkMap()
    for i in range(5_000):
        ours[i] = i
        ours.fork()
    assert len(ours._frozen) <= 13
    assert all(ours[i] == i for i in range(5_000))


class Maps(RuleBasedStateMachine):
    """Forks of forks, against plain dictionaries that are copied."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[ForkMap[int, int], dict[int, int]]] = [(ForkMap(), {})]

    @rule(which=st.integers(0, 5), key=st.integers(0, 20), value=st.integers())
    def write(self, which: int, key: int, value: int) -> None:
        ours, plain = self.pairs[which % len(self.pairs)]
        ours[key] = value
        plain[key] = value

    @rule(which=st.integers(0, 5))
    def fork(self, which: int) -> None:
        ours, plain = self.pairs[which % len(self.pairs)]
        self.pairs.append((ours.fork(), plain.copy()))

    def teardown(self) -> None:
        for ours, plain in self.pairs:
            assert {key: ours[key] for key in ours} == plain
            assert all((key in ours) is (key in plain) for key in range(21))


TestMaps = Maps.TestCase
TestMaps.settings = settings(max_examples=50, derandomize=True)
