"""The graph's bookkeeping alone."""

from hypothesis import given
from hypothesis import strategies as st
from tests.machines import AGENTS, plan, step

from hocket.core.errors import Fault
from hocket.workflows.progress import FAILED, PENDING, RUNNING, SKIPPED, SUCCEEDED, Progress
from hocket.workflows.shape import Shape

BROKEN = Fault(kind="failed", message="broken")


def progress(*steps) -> Progress:
    made = Progress(Shape(plan(*steps), AGENTS))
    made.begin()
    return made


def test_steps_without_needs_are_ready_in_the_order_of_the_plan() -> None:
    assert list(progress(step("a"), step("b", needs="a"), step("c")).ready) == [0, 2]


def test_an_output_makes_those_ready_that_need_nothing_more() -> None:
    made = progress(step("a"), step("b"), step("c", needs="a b"))
    made.ready.clear()
    made.succeed(0, 1)
    assert list(made.ready) == []
    made.succeed(1, 2)
    assert (list(made.ready), made.value(0)) == ([2], 1)


def test_skipping_reaches_everything_below_once() -> None:
    made = progress(
        step("a", on_failure="skip"),
        step("b", needs="a"),
        step("c", needs="a"),
        step("d", needs="b c"),
    )
    made.move(0, RUNNING)
    assert sorted(made.fail(0, BROKEN)) == [1, 2, 3]
    assert made.skipped_by == {1: 0, 2: 0, 3: 0}


def test_wants_are_patient_until_they_are_in_or_enough() -> None:
    made = progress(step("a"), step("b"), step("c", wants="a b", quorum=1))
    node = made.shape.nodes[2]
    assert made.patient(node)
    made.fail(0, BROKEN)
    assert made.patient(node)
    made.succeed(1, None)
    assert not made.patient(node)


def test_reopening_undoes_an_end_and_what_followed_from_it() -> None:
    made = progress(step("a", on_failure="skip"), step("b", needs="a"), step("c", wants="b"))
    made.fail(0, BROKEN)
    made.reopen([0])
    assert list(made.status) == [PENDING] * 3
    assert made.broken() == []


def test_a_fork_goes_its_own_way() -> None:
    made = progress(step("a"), step("b", needs="a"))
    fork = made.fork()
    fork.succeed(0, "theirs")
    assert (made.status[0], made.left, made.value(0)) == (PENDING, [0, 1], None)
    made.succeed(0, "ours")
    assert fork.value(0) == "theirs"


def test_every_broken_rule_is_named() -> None:
    made = progress(step("a"), step("b", needs="a"), step("c", wants="a"))
    made.status[0] = SUCCEEDED
    made.status[1] = FAILED
    named = made.broken()
    assert "counts count the steps" in named
    assert "what succeeded has an output" in named
    assert "what failed has a fault" in named
    assert "wants are counted" in named


def test_what_is_done_again_is_left_out_if_what_it_needs_was_left_out_since() -> None:
    made = progress(step("a", on_failure="continue"), step("b", needs="a"), step("c", needs="b"))
    made.fail(0, BROKEN)
    made.fail(1, BROKEN)
    made.reopen([0])
    made.skip(0)
    made.reopen([1])
    assert [made.status[i] for i in range(3)] == [SKIPPED] * 3
    assert made.skipped_by == {1: 0, 2: 0}
    assert made.broken() == []


@st.composite
def graphs(draw):
    steps = []
    for i in range(draw(st.integers(1, 9))):
        earlier = [f"s{j}" for j in range(i)]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3)) if i else []
        rest = [name for name in earlier if name not in needs]
        wants = draw(st.lists(st.sampled_from(rest), unique=True, max_size=3)) if rest else []
        on_failure = draw(st.sampled_from(["skip", "continue"]))
        steps.append(step(f"s{i}", needs=tuple(needs), wants=tuple(wants), on_failure=on_failure))
    return steps


@given(graphs(), st.lists(st.tuples(st.integers(0, 8), st.sampled_from("sfkr")), max_size=30))
def test_whatever_happens_the_books_are_right(steps, deeds) -> None:
    made = progress(*steps)
    for which, deed in deeds:
        index = which % len(steps)
        pending = made.status[index] == PENDING and not made.left[index]
        if deed == "s" and pending:
            made.succeed(index, which)
        elif deed == "f" and pending:
            made.fail(index, BROKEN)
        elif deed == "k" and pending:
            made.skip(index)
        elif deed == "r" and made.status[index] == FAILED:
            made.reopen([index])
        assert made.broken() == []
    for index, status in enumerate(made.status):
        if status == SKIPPED and index in made.skipped_by:
            cause = made.skipped_by[index]
            assert made.status[cause] in (FAILED, SKIPPED)
