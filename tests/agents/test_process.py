"""Real processes that misbehave: each ends clearly, in bounded memory, and leaves nothing behind.

Every way a child can go wrong that made asyncio's own subprocesses hang or lose data is here.
"""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agents.context import FakeContext, started

from hocket.agents.child import Launch
from hocket.agents.guard import guard
from hocket.agents.process import Finished, decode, describe_exit, run_process
from hocket.agents.terminal import Live, plain
from hocket.core.errors import AgentError

ENV = {"PATH": os.environ.get("PATH", os.defpath)}


def launch(*argv: str, **more: Any) -> Launch:
    return Launch(argv=argv, env=ENV, **more)


def shell(script: str, **more: Any) -> Launch:
    return launch("/bin/sh", "-c", script, **more)


def python(code: str, **more: Any) -> Launch:
    return launch(sys.executable, "-I", "-S", "-c", code, **more)


def run(what: Launch, context: FakeContext | None = None) -> Finished:
    return asyncio.run(run_process(what, context or FakeContext()))


def fails(what: Launch) -> tuple[str, str]:
    with pytest.raises(AgentError) as caught:
        run(what)
    return caught.value.fault.kind, caught.value.fault.message


def until(what: Callable[[], bool]) -> None:
    """Wait for something that the system does by itself."""
    for _ in range(1_000):
        if what():
            return
        time.sleep(0.005)
    raise AssertionError("it never happened")


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def cancelled(what: Launch, context: FakeContext, word: str = "ready", times: int = 1) -> float:
    """Cancel a process that has printed `word`; give how long it took to end."""

    async def main() -> float:
        task = asyncio.create_task(run_process(what, context))
        await started(context, word)
        began = time.monotonic()
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    return asyncio.run(main())


# ---- what it says ----


def test_output_status_and_error_output_are_kept_apart() -> None:
    context = FakeContext()
    done = run(shell("echo out; echo err >&2; exit 3"), context)
    assert (done.status, done.out, done.err, done.cut) == (3, b"out\n", b"err\n", False)
    assert (context.text(), context.text("err")) == ("out\n", "err\n")


def peak() -> int:
    """The most memory that this process has held, in kB."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_three_hundred_megabytes_are_counted_and_not_kept() -> None:
    context = FakeContext()
    # The peak is counted from here on, whatever this process has held before.
    forget = Path("/proc/self/clear_refs")
    if forget.exists():
        forget.write_text("5")
    before = peak()
    done = run(shell("head -c 300000000 /dev/zero", quota=400_000_000), context)
    after = peak()
    assert done.status == 0
    assert len(done.out) == 1_000_000
    assert done.cut
    assert done.notes == ("output cut: the first 1,000,000 of 300,000,000 bytes are kept",)
    assert (after - before) / 1024 < 20
    assert sum(len(text) for _, text in context.shown) <= 1_000_100


@pytest.mark.parametrize("redirect", ["", ">&2"])
def test_a_flood_is_killed_at_its_quota(redirect: str) -> None:
    began = time.monotonic()
    kind, message = fails(shell(f"yes {redirect}", quota=5_000_000))
    assert (kind, message) == ("failed", "it wrote more than 5 MB and was killed")
    assert time.monotonic() - began < 5


def test_error_output_keeps_its_end() -> None:
    code = "import sys; sys.stderr.write('x' * 3_000_000 + 'the end')"
    done = run(python(code))
    assert done.err.endswith(b"the end")
    assert len(done.err) < 200_000


def test_both_pipes_are_drained_at_once() -> None:
    code = (
        "import sys\n"
        "for _ in range(2000):\n"
        "    sys.stderr.write('e' * 1000)\n"
        "    sys.stdout.write('o' * 100)\n"
    )
    done = run(python(code))
    assert done.status == 0
    assert len(done.out) == 200_000


def test_a_line_of_ten_megabytes_is_one_line() -> None:
    done = run(python("print('x' * 10_000_000)", keep=20_000_000))
    assert done.out == b"x" * 10_000_000 + b"\n"


def test_split_and_broken_characters_neither_raise_nor_garble() -> None:
    code = (
        "import os\n"
        "for b in 'h\\u00e4\\U0001f600'.encode(): os.write(1, bytes([b]))\n"
        "os.write(1, b'\\xff\\xfe!\\n')"
    )
    context = FakeContext()
    done = run(python(code), context)
    text, notes = decode(done.out, done.cut)
    assert text == context.text() == "hä\U0001f600\ufffd\ufffd!\n"
    assert notes == ("output was not UTF-8 (first at byte 7); what was not is shown as \ufffd",)


def test_a_cut_through_a_character_is_not_called_broken() -> None:
    assert decode("aä".encode()[:2], True) == ("a", ())
    assert decode("aä".encode()[:2], False)[0] == "a\ufffd"


# ---- what it reads ----


def test_a_child_that_never_reads_does_not_block_ten_megabytes() -> None:
    assert run(shell("exec sleep 0.05", stdin=b"x" * 10_000_000)).status == 0
    done = run(shell("exec <&-; echo closed", stdin=b"x" * 10_000_000))
    assert (done.status, done.out) == (0, b"closed\n")


def test_ten_megabytes_go_in_while_ten_come_out() -> None:
    data = b"0123456789" * 1_000_000
    done = run(launch("cat", stdin=data, keep=20_000_000))
    assert done.out == data


@pytest.mark.parametrize("stdin", [None, b""])
def test_a_child_that_reads_sees_the_end_at_once(stdin: bytes | None) -> None:
    assert run(launch("cat", stdin=stdin)).out == b""


def test_a_file_is_read_by_the_child_itself(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_text("from a file")
    assert run(launch("cat", stdin=path)).out == b"from a file"


# ---- how it ends ----


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGTERM", "SIGKILL"])
def test_death_by_signal_has_a_name(name: str) -> None:
    done = run(shell(f"kill -{name[3:]} $$"))
    assert done.status == -signal.Signals[name]
    assert describe_exit(done.status).startswith(f"killed by {name}")


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (2, "exit status 2"),
        (137, "exit status 137: killed by SIGKILL, often because memory ran out"),
        (139, "exit status 139: killed by SIGSEGV"),
        (127, "exit status 127: a command in it was not found"),
        (126, "exit status 126: a command in it cannot be executed"),
        (255, "exit status 255"),
        (-40, "killed by signal 40"),
    ],
)
def test_an_exit_status_is_explained(status: int, says: str) -> None:
    assert describe_exit(status) == says


def test_a_grandchild_that_holds_the_pipe_is_waited_for_briefly_and_killed() -> None:
    began = time.monotonic()
    done = run(shell("sleep 100 & echo $!", linger=0.2))
    assert time.monotonic() - began < 3
    assert done.status == 0
    assert done.notes == ("a process left in the background held the output open and was killed",)
    until(lambda: not alive(int(done.out)))


def test_a_grandchild_that_holds_nothing_is_killed_as_well() -> None:
    done = run(shell("sleep 100 >/dev/null 2>&1 & echo $!"))
    assert done.notes == ()
    until(lambda: not alive(int(done.out)))


def test_cancelling_ends_the_group_politely() -> None:
    context = FakeContext()
    took = cancelled(
        shell("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done"), context
    )
    assert took < 3
    assert "bye" in context.text()


def test_what_ignores_a_polite_end_is_killed_after_the_grace() -> None:
    context = FakeContext()
    took = cancelled(
        shell("trap '' TERM; echo ready $$; while :; do sleep 1; done", grace=0.2), context
    )
    assert 0.2 <= took < 3
    assert not alive(int(context.text().split()[1]))


def test_a_hard_end_leaves_no_time() -> None:
    context = FakeContext(hard=True)
    took = cancelled(
        shell("trap 'echo bye' TERM; echo ready; while :; do sleep 1; done", grace=60), context
    )
    assert took < 3
    assert "bye" not in context.text()


def test_a_second_cancel_ends_the_grace() -> None:
    what = shell("trap '' TERM; echo ready; while :; do sleep 1; done", grace=60)
    assert cancelled(what, FakeContext(), times=2) < 3


def test_patience_can_be_withdrawn_during_the_grace() -> None:
    context = FakeContext()
    what = shell("trap 'echo asked' TERM; echo ready; while :; do sleep 0.01; done", grace=60)

    async def main() -> None:
        task = asyncio.create_task(run_process(what, context))
        await started(context, "ready")
        task.cancel()
        await started(context, "asked")
        context.hard = True
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)

    asyncio.run(main())


def test_a_stopped_process_still_ends() -> None:
    assert cancelled(shell("echo ready; kill -STOP $$; sleep 100", grace=60), FakeContext()) < 5


def test_cancelling_takes_grandchildren_along() -> None:
    context = FakeContext()
    what = shell("(trap '' TERM; sleep 100) & echo ready $!; wait", grace=0.2, linger=0.1)
    cancelled(what, context)
    until(lambda: not alive(int(context.text().split()[1])))


# ---- how it does not begin ----


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (launch("gti"), "there is no program 'gti' on the PATH"),
        (launch("slep"), "did you mean"),
        (launch("./nothing"), "'./nothing' cannot be started: there is no such file"),
        (launch("/"), "cannot be started: Permission denied"),
        (launch("cat", "a\0b"), "NUL"),
        (launch("cat", "x" * 4_000_000), "too long; give the text by stdin"),
        (launch("cat", cwd="/nowhere/at/all"), "working folder '/nowhere/at/all' is not there"),
    ],
)
def test_what_cannot_start_is_permanent(what: Launch, says: str) -> None:
    kind, message = fails(what)
    assert kind == "permanent"
    assert says in message


def test_a_script_without_its_interpreter_is_told_apart(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    assert "its interpreter is missing" in fails(launch(str(script)))[1]
    script.write_text("echo without a first line\n")
    assert "cannot be started: Exec format error" in fails(launch(str(script)))[1]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted in /proc")
def test_no_free_descriptor_is_a_passing_trouble() -> None:
    code = (
        "import asyncio, os, resource\n"
        "from hocket.agents.process import *\n"
        "from hocket.core.errors import AgentError\n"
        "from types import SimpleNamespace as N\n"
        "async def main():\n"
        "    launch = Launch(argv=('/bin/true',), env={})\n"
        "    used = len(os.listdir('/proc/self/fd'))\n"
        "    for spare in range(8):\n"
        "        resource.setrlimit(resource.RLIMIT_NOFILE, (used + spare, 4096))\n"
        "        try:\n"
        "            await run_process(launch, N(hard=False, emit=print))\n"
        "        except AgentError as error:\n"
        "            print(error.fault.kind)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"unavailable"}


# ---- what remains ----


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted in /proc")
def test_two_hundred_processes_leave_no_zombie_and_no_descriptor() -> None:
    async def main() -> None:
        await run_process(launch("true"), FakeContext())
        own = psutil.Process()
        before = own.num_fds(), len(own.children())
        for _ in range(10):
            await asyncio.gather(
                *(
                    run_process(shell("cat; sleep 0 &", stdin=b"x"), FakeContext())
                    for _ in range(20)
                )
            )
        assert (own.num_fds(), len(own.children())) == before

    asyncio.run(main())


def test_children_die_with_a_killed_parent() -> None:
    code = (
        "import asyncio, os\n"
        "from types import SimpleNamespace as N\n"
        "from hocket.agents.process import *\n"
        "show = lambda text, stream: print(text, end='', flush=True)\n"
        "script = 'trap \"\" TERM; sleep 1000 & echo $$ $!; wait'\n"
        "launch = Launch(argv=('/bin/sh', '-c', script), env={'PATH': os.defpath})\n"
        "asyncio.run(run_process(launch, N(hard=False, emit=show)))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2 and all(map(alive, pids))
        parent.kill()
    until(lambda: not any(map(alive, pids)))


def test_a_guard_that_was_killed_is_replaced() -> None:
    run(launch("true"))
    first = guard._shell
    assert first is not None
    first.kill()
    first.wait()
    run(launch("true"))
    run(launch("true"))
    second = guard._shell
    assert second is not None and second is not first
    assert second.poll() is None


def test_a_thread_waits_where_there_is_no_pidfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    assert run(shell("echo x; exit 4")).status == 4
    monkeypatch.delattr(os, "waitid", raising=False)
    assert run(shell("echo x; exit 4")).status == 4


# ---- what is shown ----


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "xlink"),
        ("\x1b]52;c;ZXZpbA==\x07", ""),
        ("10%\r50%\r100%\n", "100%\n"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("\x1bPq...\x1b\\x\x1b(B\x1bcy", "xy"),
        ("bell\x07 nul\x00 del\x7f c1\x9b31mz", "bell nul del c1z"),
        ("evil\u202eexe", "evilexe"),
        ("tab\tstays", "tab\tstays"),
    ],
)
def test_nothing_that_acts_on_a_terminal_is_shown(raw: str, shown: str) -> None:
    assert plain(raw) == shown
    context = FakeContext()
    live = Live(context, "out", 10_000)
    for byte in raw.encode():
        live.feed(bytes([byte]))
    live.end()
    assert context.text() == shown


@given(st.lists(st.binary(max_size=20), max_size=30), st.integers(0, 200))
def test_whatever_comes_is_shown_within_its_bound(chunks: list[bytes], most: int) -> None:
    context = FakeContext()
    live = Live(context, "out", most)
    for chunk in chunks:
        live.feed(chunk)
    live.end()
    text = context.text()
    assert "\x1b" not in text and "\r" not in text
    assert len(text) <= most + 30


def test_a_progress_bar_without_newlines_takes_no_memory() -> None:
    context = FakeContext()
    live = Live(context, "out", 10**9)
    for percent in range(20_000):
        live.feed(b"\r%d of 20000 " % percent)
    assert len(live._pending) < 100
    live.end()
    assert context.text() == "19999 of 20000 "


def test_a_long_line_is_shown_in_pieces_that_split_no_escape() -> None:
    context = FakeContext()
    live = Live(context, "out", 10**9)
    for _ in range(3_000):
        live.feed(b"abc\x1b[3")
        live.feed(b"1m")
    assert len(context.text()) > 4_000
    live.end()
    assert context.text() == "abc" * 3_000
