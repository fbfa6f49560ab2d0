"""Functions on the loop, in threads and in processes."""

import asyncio
import dataclasses
import datetime
import functools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pydantic
import pytest
from tests.agents.context import FakeContext, request

from hocket.agents.base import Context, Reply, content
from hocket.agents.function import File, FunctionAgent
from hocket.core.errors import AgentError, Fault, SpecError
from hocket.core.events import Usage
from hocket.core.specs import AgentSpec
from hocket.core.values import FileRef

MODULE = """
import os, signal, subprocess, sys, time
from hocket.agents.function import File
from hocket.core.errors import AgentError, Fault

def add(a, b=10): return a + b
def pid(): return os.getpid()
def crash(): os.kill(os.getpid(), signal.SIGSEGV)
def leave(): os._exit(3)
def closes(): os.closerange(3, 100); time.sleep(1000)
def exits(): sys.exit(5)
def fail(): return 1 / 0
def agent_error(): raise AgentError(Fault(kind="rate_limited", message="wait", retry_after=5))
def lambdas(): return lambda: 1
def file(path): return {"made": [File(path)]}
def hang(path):
    child = subprocess.Popen(["sleep", "1000"])
    with open(path + ".new", "w") as out: out.write(f"{os.getpid()} {child.pid}")
    os.rename(path + ".new", path)
    time.sleep(1000)
class Thing:
    @staticmethod
    def method(x): return x
"""


class Model(pydantic.BaseModel):
    n: int
    when: datetime.date


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Struct(msgspec.Struct):
    n: int


def agent(found: Any = None, *, ref: str = "live:it", **options: Any) -> FunctionAgent:
    live = {} if found is None else {ref: found}
    spec = AgentSpec(kind="function", options={"ref": ref, **options})
    return FunctionAgent("f", spec, state=Path(), live=live)


def call(
    made: FunctionAgent, input: Any = None, context: FakeContext | None = None, **more: Any
) -> Reply:
    async def main() -> Reply:
        try:
            return await made.call(request(input, **more), context or FakeContext())
        finally:
            await made.close()

    return asyncio.run(main())


def fails(made: FunctionAgent, input: Any = None, **more: Any) -> Fault:
    with pytest.raises(AgentError) as caught:
        call(made, input, **more)
    return caught.value.fault


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"jobs_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


async def add(a: int, b: int = 10) -> dict[str, int]:
    return {"sum": a + b}


def plain_add(a: int, b: int = 10) -> dict[str, int]:
    return {"sum": a + b}


@pytest.mark.parametrize("function", [add, plain_add])
@pytest.mark.parametrize(
    ("input", "total"), [({"a": 1, "b": 2}, 3), ([1, 2], 3), ([1], 11), (5, 15), ({"a": 1}, 11)]
)
def test_the_input_becomes_arguments(function: Any, input: Any, total: int) -> None:
    assert call(agent(function), input).output == {"sum": total}


def test_an_async_function_runs_on_the_loop_and_a_plain_one_in_a_thread() -> None:
    async def on_loop() -> bool:
        return threading.current_thread() is threading.main_thread()

    def beside() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert call(agent(on_loop)).output is True
    assert call(agent(beside)).output is False


def test_callable_objects_partials_and_hidden_coroutines_are_awaited() -> None:
    import functools

    class Async:
        async def __call__(self, a: int) -> int:
            return a

    assert call(agent(Async()), [1]).output == 1
    assert call(agent(functools.partial(add, 1)), {"b": 2}).output == {"sum": 3}
    assert call(agent(lambda a: add(a, 1)), [1]).output == {"sum": 2}


def test_an_async_call_costs_a_few_microseconds() -> None:
    made, asked, context = agent(add), request({"a": 1, "b": 2}), FakeContext()

    async def main() -> float:
        best = 1.0
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(2_000):
                await made.call(asked, context)
            best = min(best, (time.perf_counter() - began) / 2_000)
        return best

    assert asyncio.run(main()) < 20e-6


@pytest.mark.parametrize("mode", ["auto", "thread"])
def test_an_exception_is_a_fault_with_the_end_of_its_traceback(mode: str) -> None:
    def divide(x: int) -> float:
        return x / 0

    fault = fails(agent(divide, mode=mode), [1])
    assert fault.kind == "failed"
    assert fault.message == "ZeroDivisionError: division by zero"
    assert "return x / 0" in fault.detail
    assert "hocket/agents" not in fault.detail


def test_an_async_exception_is_a_fault_too() -> None:
    async def divide() -> float:
        raise ValueError("first line\nsecond")

    fault = fails(agent(divide))
    assert fault.message == "ValueError: first line"
    assert "second" in fault.detail and "hocket/agents" not in fault.detail


@pytest.mark.parametrize(
    "error", [SystemExit(3), asyncio.CancelledError("inner"), StopIteration(1)]
)
def test_what_would_end_the_program_ends_only_the_call(error: BaseException) -> None:
    def raises() -> None:
        raise error

    assert type(error).__name__ in fails(agent(raises)).message

    async def raises_on_loop() -> None:
        raise error

    kind = "RuntimeError" if isinstance(error, StopIteration) else type(error).__name__
    assert kind in fails(agent(raises_on_loop)).message


def test_an_error_without_a_usable_message_is_told_all_the_same() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise ValueError

    async def raises() -> None:
        raise Broken

    assert fails(agent(raises)).message == "Broken: (its message cannot be had: ValueError)"


@pytest.mark.parametrize("function", [add, plain_add])
@pytest.mark.parametrize("input", [{"a": 1, "c": 2}, [], [1, 2, 3], None, {}])
def test_arguments_that_do_not_fit_are_permanent(function: Any, input: Any) -> None:
    fault = fails(agent(function), input)
    assert fault.kind == "permanent"
    assert "arguments do not fit" in fault.message


def test_a_type_error_of_the_function_itself_is_its_own_failure() -> None:
    async def mistaken() -> Any:
        return len(5)  # type: ignore[arg-type]

    assert fails(agent(mistaken)).kind == "failed"


def test_an_agents_own_fault_passes_through() -> None:
    async def refuse() -> None:
        raise AgentError(Fault(kind="unavailable", message="later"), Usage(tokens_in=1))

    with pytest.raises(AgentError) as caught:
        call(agent(refuse))
    assert caught.value.fault.kind == "unavailable"
    assert caught.value.usage == Usage(tokens_in=1)


def test_arguments_are_converted_as_annotated() -> None:
    async def typed(
        model: Model,
        point: Point,
        struct: Struct,
        days: list[datetime.date],
        path: Path | None,
        n: int,
    ) -> Any:
        assert isinstance(model, Model) and isinstance(point, Point) and isinstance(struct, Struct)
        assert path is None or isinstance(path, Path)
        return [model, point, struct, days, path, n]

    input = {
        "model": {"n": 1, "when": "2026-01-02"},
        "point": {"x": 1},
        "struct": {"n": 2},
        "days": ["2026-01-03"],
        "path": "a/b",
        "n": 3,
    }
    written = [
        {"n": 1, "when": "2026-01-02"},
        {"x": 1, "y": 0},
        {"n": 2},
        ["2026-01-03"],
        "a/b",
        3,
    ]
    made = agent(typed)
    assert call(made, input).output == written
    assert call(agent(typed), list(input.values())).output == written
    fault = fails(agent(typed), input | {"model": {"n": "x", "when": "2026-01-02"}})
    assert fault.kind == "permanent"
    assert "the argument 'model' does not fit" in fault.message


def test_an_annotation_that_only_a_type_checker_sees_spoils_no_other() -> None:
    async def odd(a: "Unknown", point: Point) -> Any:  # type: ignore[name-defined]  # noqa: F821
        return [a, point.x]

    assert call(agent(odd), {"a": 1, "point": {"x": 2}}).output == [1, 2]


@pytest.mark.parametrize("input", [{"a": 1, "b": 2}, [1, 2]])
def test_a_context_is_given_where_it_is_annotated(input: Any) -> None:
    async def first(context: Context, a: int, b: int) -> int:
        context.emit("hello")
        context.spend(Usage(tokens_in=a))
        return a + b

    def threaded(a: int, c: Context, b: int) -> int:
        c.emit("hello", "err")
        assert not c.hard
        return a + b

    context = FakeContext()
    assert call(agent(first), input, context).output == 3
    assert call(agent(threaded), input, context).output == 3
    assert context.shown == [("out", "hello"), ("err", "hello")]
    assert context.spent == [Usage(tokens_in=1)]
    assert "Hocket's to give" in fails(agent(first), {"context": 1, "a": 1, "b": 1}).message


def test_a_thread_can_store_through_its_context(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")

    def work(context: Context) -> Any:
        return asyncio.run(context.store(tmp_path / "x", "name"))

    assert call(agent(work)).output["name"] == "name"


def test_files_in_the_result_are_stored_and_given_as_paths(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    path.write_text("hello")
    context = FakeContext(tmp_path)

    async def make() -> Any:
        file = File(path)
        return {"all": [file, file, Point(1, File(path, "other.md"))]}  # type: ignore[arg-type]

    output = call(agent(make), None, context).output
    assert [name for _, name in context.stored] == ["report.md", "other.md"]
    first = output["all"][0]
    assert first == msgspec.to_builtins(FileRef(name="report.md", digest=first["digest"], size=5))
    assert output["all"][2]["y"]["name"] == "other.md"

    def read(file: Path) -> str:
        return file.read_text()

    assert call(agent(read), {"file": first}, context).output == "hello"


def test_a_result_that_is_not_json_is_permanent() -> None:
    async def odd() -> Any:
        return {"a": object()}

    assert "type object" in fails(agent(odd)).message


def test_a_result_must_fit_the_schema_of_its_step() -> None:
    assert call(agent(add), [1], output={"required": ["sum"]}).output == {"sum": 11}
    assert fails(agent(add), [1], output={"required": ["x"]}).kind == "invalid_output"


def test_a_function_cannot_change_what_others_see() -> None:
    given = {"rows": [3, 1, 2]}
    kept: list[Any] = []

    async def change(rows: list[int]) -> Any:
        rows.sort()
        kept.append(rows)
        return rows

    assert call(agent(change), given).output == [1, 2, 3]
    assert given == {"rows": [3, 1, 2]}


def test_a_cancelled_thread_is_left_and_its_result_dropped() -> None:
    release = threading.Event()

    async def main() -> None:
        made = agent(lambda: release.wait(10))
        task = asyncio.create_task(made.call(request(), FakeContext()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        await made.close()

    asyncio.run(main())


def test_a_cancelled_async_function_cleans_up() -> None:
    seen: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            seen.append("cleaned")

    async def main() -> None:
        task = asyncio.create_task(agent(wait).call(request(), FakeContext()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert seen == ["cleaned"]


def test_threads_are_used_again_and_do_not_keep_the_program() -> None:
    made = agent(threading.get_ident, mode="thread")

    async def main() -> set[Any]:
        first = {(await made.call(request(), FakeContext())).output for _ in range(20)}
        assert all(t.daemon for t in threading.enumerate() if t.name.startswith("hocket-"))
        await made.close()
        return first

    assert len(asyncio.run(main())) <= 3


# ---- by name ----


def test_a_function_is_imported_by_name(jobs: str) -> None:
    assert call(agent(ref=f"{jobs}:add"), [1]).output == 11
    assert call(agent(ref=f"{jobs}:Thing.method"), [1]).output == 1


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        ("no_such_module_x:f", "no module 'no_such_module_x'"),
        ("json:dumsp", "there is no 'dumsp' in json; did you mean 'dump"),
        ("json:decoder.x", "there is no 'x' in"),
        ("json:__name__", "is a str, which cannot be called"),
        ("a:f.<locals>.g", "inside another function"),
    ],
)
def test_a_name_that_leads_nowhere_is_permanent(ref: str, says: str) -> None:
    fault = fails(agent(ref=ref))
    assert fault.kind == "permanent"
    assert says in fault.message


def generator() -> Any:
    yield 1


async def async_generator() -> Any:
    yield 1


async def positional(context: Context, /) -> None: ...


def needs_context(context: Context) -> None: ...


@pytest.mark.parametrize(
    ("found", "options", "says"),
    [
        (generator, {}, "is a generator; return a list instead"),
        (async_generator, {}, "is a generator"),
        (5, {}, "is a int, which cannot be called"),
        (positional, {}, "must not be positional-only"),
        (add, {"mode": "process"}, "is async"),
        (needs_context, {"mode": "process"}, "takes a Context"),
        (None, {"ref": "nocolon"}, "names no function; write it as 'module:name'"),
        (add, {"mod": "auto"}, "unknown option 'mod'; did you mean 'mode'?"),
        (add, {"mode": "fast"}, "fast"),
    ],
)
def test_what_cannot_be_an_agent_is_refused(found: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as caught:
        agent(found, **options)
    assert says in str(caught.value)


# ---- in a process ----


def test_cpu_work_runs_in_a_process_that_is_used_again(jobs: str) -> None:
    made = agent(ref=f"{jobs}:pid", mode="process")

    async def main() -> set[Any]:
        pids = {(await made.call(request(), FakeContext())).output for _ in range(5)}
        await made.close()
        return pids

    pids = asyncio.run(main())
    assert len(pids) == 1
    assert os.getpid() not in pids
    assert not psutil.pid_exists(pids.pop())


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("fail", "failed", "ZeroDivisionError: division by zero"),
        ("exits", "failed", "SystemExit: 5"),
        ("agent_error", "rate_limited", "wait"),
        ("crash", "failed", "the worker process ended: killed by SIGSEGV"),
        ("closes", "failed", "the worker process ended: killed by SIGKILL"),
        ("leave", "failed", "the worker process ended: exit status 3"),
        ("lambdas", "permanent", "a value of type function cannot leave a worker process"),
    ],
)
def test_what_goes_wrong_in_a_process_is_a_fault_and_the_next_call_works(
    jobs: str, name: str, kind: str, says: str
) -> None:
    made = agent(ref=f"{jobs}:{name}", mode="process")
    fault = fails(made)
    assert fault.kind == kind
    assert says in fault.message
    assert fails(made).kind == kind


def test_arguments_that_do_not_fit_are_permanent_in_a_process(jobs: str) -> None:
    made = agent(ref=f"{jobs}:add", mode="process")
    assert fails(made, [1, 2, 3]).kind == "permanent"


def test_a_file_made_in_a_process_is_stored(jobs: str, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("x")
    made = agent(ref=f"{jobs}:file", mode="process")
    assert call(made, [str(tmp_path / "x.txt")]).output["made"][0]["name"] == "x.txt"


def test_a_function_that_no_process_can_import_is_permanent() -> None:
    fault = fails(agent(lambda: 1, mode="process"))
    assert fault.kind == "permanent"
    assert "cannot enter another process" in fault.message


def until(what: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if what():
            return
        time.sleep(0.005)
    raise AssertionError("it never happened")


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_cancelled_work_in_a_process_is_killed_with_all_it_started(
    jobs: str, tmp_path: Path
) -> None:
    made = agent(ref=f"{jobs}:hang", mode="process")
    path = tmp_path / "pids"

    async def main() -> list[int]:
        task = asyncio.create_task(made.call(request([str(path)]), FakeContext()))
        await asyncio.to_thread(until, path.exists)
        pids = [int(word) for word in path.read_text().split()]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
        assert gone(pids[0])
        await made.close()
        return pids

    for pid in asyncio.run(main()):
        until(lambda pid=pid: gone(pid))


def test_a_call_cancelled_while_its_process_starts_leaves_none(jobs: str, tmp_path: Path) -> None:
    made = agent(ref=f"{jobs}:hang", mode="process")

    async def main() -> None:
        for delay in (0.0, 0.001, 0.01, 0.05):
            task = asyncio.create_task(made.call(request([str(tmp_path / "p")]), FakeContext()))
            await asyncio.sleep(delay)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await made.close()

    asyncio.run(main())
    here = psutil.Process().children(recursive=True)
    assert [child for child in here if "spawn_main" in " ".join(child.cmdline())] == []


# What a function is, for answers that are kept


def one(x: int) -> int:
    return x + 1


def other(x: int) -> int:
    return x + 2


class Counter:
    def count(self, x: int) -> int:
        return x


def content_of(function: Any, ref: str = "m:f") -> str | None:
    spec = AgentSpec(kind="function", options={"ref": ref})
    live = {} if function is None else {ref: function}
    return content(FunctionAgent("f", spec, state=Path(), live=live))


def test_a_function_that_was_handed_over_is_named_by_its_source() -> None:
    assert content_of(one) == content_of(one, "elsewhere:g") != content_of(other)


def test_one_that_is_imported_is_named_by_its_reference_alone() -> None:
    assert content_of(None) == ""


def test_what_may_depend_on_more_than_its_source_has_no_name() -> None:
    seen = 3

    def closure(x: int) -> int:
        return x + seen

    for function in (closure, Counter().count, functools.partial(one, 3), len):
        assert content_of(function) is None
