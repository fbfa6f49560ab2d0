"""Large runs through the command line, several at once, and how long looking at them takes."""

import resource
import time
from pathlib import Path

from tests.cli.kit import Home, ended

from hocket.core.events import CallFinished, CallStarted, RunEnded, RunStarted
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec, spec_digest
from hocket.core.values import Call
from hocket.journal.codec import encode
from hocket.journal.schema import in_transaction, open_for_writing

MANY = 100_000


def test_a_plan_of_1_000_steps(home: Home) -> None:
    home.put("steps.py", "async def more(n):\n    return n + 1\n")
    steps = ["s0: {call: 'steps:more', with: {n: 0}}"]
    for i in range(1, 1_000):
        before = i - 1 if i % 10 else max(i - 10, 0)
        steps.append(f"s{i}: {{call: 'steps:more', with: {{n: '{{{{s{before}}}}}'}}}}")
    home.write("\n".join(steps), plan="output: '{{s999}}'")
    done = home.ok("run", "--id", "r", "--quiet")
    assert done.out == "109\n"
    assert len(home.ok("show", "r").out.splitlines()) > 1_000
    assert len(home.events()) == 2 + 2 * 1_000


def test_two_runs_side_by_side_on_one_state_folder(home: Home) -> None:
    home.write(
        "list: {command: [seq, '60'], output: lines}\n"
        "a: {each: list, concurrency: 4, shell: 'echo $1 >> $2.txt', "
        "args: ['{{item}}', '{{run.id}}']}"
    )
    children = [home.start("run", "--id", f"r{i}") for i in range(3)]
    assert [ended(child).status for child in children] == [0, 0, 0]
    for i in range(3):
        assert sorted(map(int, home.lines(f"r{i}.txt"))) == list(range(1, 61))
        assert home.status(f"r{i}") == "succeeded"


def test_another_state_folder_knows_nothing_of_them(home: Home) -> None:
    home.write("a: {command: [echo, x]}")
    home.ok("run", "--id", "r")
    other = str(home.state.parent / "other")
    done = home.hocket("show", "r", env={"HOCKET_HOME": other})
    assert done.status == 2 and "there are none yet" in done.err
    assert not Path(other).exists()


def large(state: Path, events: int, *, end: bool) -> None:
    """Write a run of so many events into a journal, as an owner that is gone would have left it."""
    count = events // 2 - 1
    spec = RunSpec(
        workflow=PlanSpec(
            name="large",
            steps=(
                StepSpec(name="work", agent="a", each="inputs.items", input="{{item}}"),
                StepSpec(name="asked", kind="input", input="?", needs=("work",)),
            )
            if not end
            else (StepSpec(name="work", agent="a", each="inputs.items", input="{{item}}"),),
        ),
        agents={"a": AgentSpec(kind="scripted", options={"reply": "x"}, effects=False)},
    )
    db = open_for_writing(state)
    now = time.time_ns()
    first = RunStarted(
        at=now,
        run="r",
        spec=spec,
        digest=spec_digest(spec),
        inputs={"items": list(range(count))},
        seed=1,
        versions={"plan": 1},
        program="test",
    )
    rows = [encode(first).row]
    for i in range(count):
        call = Call(f"work/{i}", 1)
        rows.append(encode(CallStarted(at=now + i, call=call, agent="a")).row)
        rows.append(encode(CallFinished(at=now + i, call=call, output={"n": i})).row)
    if end:
        rows.append(encode(RunEnded(at=now + count, status="succeeded")).row)

    def work(db) -> None:  # type: ignore[no-untyped-def]
        db.execute(
            "INSERT INTO runs (key, id, name, status, created, epoch, owner) "
            "VALUES (1, 'r', 'large', ?, 1, 1, 0)",
            ("succeeded" if end else "running",),
        )
        db.executemany(
            "INSERT INTO events (run, n, data) VALUES (1, ?, ?)", list(enumerate(rows, 1))
        )

    in_transaction(db, work)
    db.close()


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_looking_at_and_recovering_a_run_of_100_000_events(home: Home) -> None:
    """Judged by CPU time: what else the machine does can only add to the rest."""
    large(home.state, MANY, end=False)
    took = {}
    for line in ("runs", "show r", "logs r", "show r work/7", "resume r --no-wait --json"):
        begun = cpu()
        done = home.hocket(*line.split())
        took[line] = cpu() - begun
        assert done.status == (3 if line.startswith("resume") else 0), done.err
        if line == "logs r":
            assert len(done.out.splitlines()) >= MANY - 2
    assert done.data["calls"]["finished"] == MANY // 2 - 1
    print("CPU-s at 100,000 events:", took)
    assert {line: seconds for line, seconds in took.items() if seconds > 2} == {}
