"""A server that is killed with -9 in the middle of many runs: the next one goes on with them."""

import json
from collections import Counter

from tests.cli.kit import Home
from tests.faults.test_kill import WAITS
from tests.server.test_serve import Server

MANY = 8

# Each run does two steps, is killed in the third, and does a last one; all of it is counted.
STEPS = f"""
one: {{command: [sh, -c, 'echo "$1 one" >> done.txt', sh, "{{{{inputs.k}}}}"]}}
two: {{command: [sh, -c, 'echo "$1 two" >> done.txt', sh, "{{{{inputs.k}}}}"], needs: [one]}}
slow: {{shell: '{WAITS.format("slow")}', effects: false, needs: [two]}}
last: {{command: [sh, -c, 'echo "$1 last" >> done.txt', sh, "{{{{inputs.k}}}}"], needs: [slow]}}
"""


def finished(home: Home, run: str) -> list[str]:
    """Name the calls of a run whose ends are on disk."""
    return [event["call"]["path"] for event in home.events(run) if event["type"] == "call_finished"]


def test_all_runs_go_on_and_no_finished_call_is_repeated(home: Home) -> None:
    home.write(STEPS, plan="inputs: [k]")
    first = Server(home)
    runs = {first.start(k=str(k)): str(k) for k in range(MANY)}
    home.until(lambda: len(home.lines("begun.txt")) == MANY)
    home.until(lambda: all(finished(home, run) == ["one", "two"] for run in runs))
    home.kill(first.child)
    assert (home.state / "server.json").exists(), "nobody took it away"
    home.file("go").touch()
    second = Server(home)
    home.until(lambda: all(home.status(run) == "succeeded" for run in runs))
    counted = Counter(line for line in home.lines("done.txt") if " " in line)
    assert counted == {f"{k} {step}": 1 for k in range(MANY) for step in ("one", "two", "last")}
    rows = {row["id"]: row for row in second.ask("/api/runs")["runs"]}
    assert set(rows) == set(runs)
    where = json.loads((home.state / "server.json").read_bytes())
    assert where["pid"] == second.child.pid
    second.stop()


def test_a_call_with_effects_in_flight_is_held_and_shown(home: Home) -> None:
    home.write(f"pay:\n  shell: '{WAITS.format('pay')}'\n")
    first = Server(home)
    run = first.start()
    home.until(lambda: home.lines("begun.txt"))
    home.kill(first.child)
    home.file("go").touch()
    second = Server(home)
    home.until(lambda: "call_lost" in home.kinds(run))
    assert home.lines("begun.txt") == ["pay"]
    second.ask(f"/api/runs/{run}/retry", {"step": "pay"})
    home.until(lambda: home.status(run) == "succeeded")
    assert home.lines("begun.txt") == ["pay", "pay"]
    second.stop()


def test_an_approval_waits_over_a_kill(home: Home) -> None:
    home.write("ok:\n  approve: 'Ship it?'\n")
    first = Server(home)
    run = first.start()
    asked = home.until(
        lambda: next((e for e in home.events(run) if e["type"] == "approval_asked"), None)
    )
    assert asked is not None
    home.kill(first.child)
    second = Server(home)
    answer = {"step": "ok", "digest": asked["digest"], "approved": True, "note": ""}
    second.ask(f"/api/runs/{run}/approve", answer)
    home.until(lambda: home.status(run) == "succeeded")
    second.stop()


def test_a_run_that_was_paused_stays_paused_until_somebody_has_it_go_on(home: Home) -> None:
    home.write("ok:\n  approve: 'Ship it?'\n")
    first = Server(home)
    run = first.start()
    home.until(lambda: "approval_asked" in home.kinds(run))
    first.ask(f"/api/runs/{run}/pause", {})
    home.until(lambda: home.status(run) == "paused")
    home.kill(first.child)
    second = Server(home)
    other = second.start()
    home.until(lambda: "approval_asked" in home.kinds(other))
    assert home.status(run) == "paused" and "run_resumed" not in home.kinds(run)
    second.ask(f"/api/runs/{run}/resume", {})
    home.until(lambda: "run_resumed" in home.kinds(run))
    assert home.status(run) == "running"
    second.stop()
