"""What ``pause`` and ``cancel`` say of a run: as much as is true by then."""

from __future__ import annotations

from tests.cli.kit import Home, ended
from tests.faults.test_kill import hangs


def test_a_pause_names_the_calls_that_it_lets_finish(home: Home) -> None:
    home.write(hangs("one") + hangs("two") + "then: {shell: echo, needs: [one, two]}")
    child = home.running()
    home.until(lambda: len(home.lines("begun.txt")) == 2, child)
    assert home.ok("pause", "r").err == "pausing: 2 calls in flight may finish (one, two)\n"
    home.put("go", "")
    assert ended(child).status == 3


def test_a_pause_of_a_run_with_nothing_in_flight_is_done_at_once(home: Home) -> None:
    home.write("ok: {approve: Sure?}")
    child = home.running()
    home.until(lambda: "waiting" in home.hocket("show", "r").out, child)
    assert home.ok("pause", "r").err == "paused\n"
    assert ended(child).status == 3


def test_a_cancel_names_the_calls_that_have_not_ended_yet(home: Home) -> None:
    home.write("deaf: {shell: 'trap \"\" TERM; echo >> begun.txt; while :; do sleep 0.05; done'}")
    child = home.running()
    home.until(lambda: home.lines("begun.txt"), child)
    told = home.ok("cancel", "r").err
    assert told == "cancelling: 1 call in flight is asked to end (deaf)\n"
    assert home.ok("cancel", "r", "--now").err in (
        "cancelling: 1 call in flight is killed (deaf)\n",
        "cancelled\n",
    )
    assert ended(child).status == 1
