"""Several processes are started, watched and ended together."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import jax
import pytest

from hocket.core.errors import Refused
from hocket.population.devices import mesh_of
from hocket.population.distributed import (
    ProcessDied,
    agreed,
    anyone,
    leads,
    led,
    run_processes,
)
from hocket.population.place import Place, my_place

PLACE = "HOCKET_POPULATION_PROCESS"
NUMBER = f"int(os.environ['{PLACE}'][0])"


def python(code: str) -> list[str]:
    """A command that runs some Python."""
    return [sys.executable, "-c", "import os, signal, sys, time\n" + textwrap.dedent(code)]


def is_gone(process: int) -> bool:
    """Whether there is no such process, or only its remains."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_process_is_told_its_place() -> None:
    assert my_place({}) is None
    assert my_place({PLACE: "1/4@127.0.0.1:5001#7"}) == Place(1, 4, "127.0.0.1:5001", 7)
    assert my_place({PLACE: "0/2@127.0.0.1:5001"}) == Place(0, 2, "127.0.0.1:5001")


def test_alone_it_leads_and_decides() -> None:
    assert leads() and anyone(True) and not anyone(False)


def test_alone_it_does_what_the_leader_does_and_fails_as_it_does() -> None:
    done: list[int] = []
    led(lambda: done.append(agreed(3)))
    assert done == [3]
    with pytest.raises(FileNotFoundError):
        led(Path("/nowhere/at/all").read_bytes)


def test_what_the_first_one_prints_comes_back() -> None:
    done = run_processes(python(f"print('I am', {NUMBER})"), 4, capture=True)
    assert (done.status, done.printed) == (0, b"I am 0\n")


def test_a_status_that_all_agree_on_is_theirs() -> None:
    done = run_processes(python(f"sys.exit('no' + str({NUMBER}))"), 2, capture=True)
    assert (done.status, done.said) == (1, ("no1",))


@pytest.mark.parametrize("processes", [0, 3, 16])
def test_an_uneven_number_is_refused(processes: int) -> None:
    with pytest.raises(Refused, match="1, 2, 4 or 8"):
        run_processes(python(""), processes)


def test_when_one_is_killed_the_others_are_ended_and_the_way_on_is_told(tmp_path: Path) -> None:
    code = f"""
        open({str(tmp_path)!r} + '/' + str({NUMBER}), 'w').write(str(os.getpid()))
        if {NUMBER} == 0:
            time.sleep(600)
        while not os.path.exists({str(tmp_path)!r} + '/0'):
            time.sleep(0.01)
        print('my last words', file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    with pytest.raises(ProcessDied) as caught:
        run_processes(python(code), 2, resume="hocket population run explorers --resume")
    said = str(caught.value)
    assert "process 1 of 2 ended by SIGKILL" in said
    assert "hocket population run explorers --resume" in said
    assert "my last words" in said
    assert is_gone(int((tmp_path / "0").read_text()))


def test_when_nothing_was_saved_it_says_so() -> None:
    code = f"os.kill(os.getpid(), signal.SIGKILL) if {NUMBER} else time.sleep(600)"
    with pytest.raises(ProcessDied, match="nothing was saved"):
        run_processes(python(code), 2)


PARENT = """
    import sys
    from hocket.population.distributed import run_processes
    CHILD = '''
    import os, time
    from hocket.population.distributed import end_with_parent
    from hocket.population.place import my_place
    end_with_parent(my_place())
    print(os.getpid(), flush=True)
    time.sleep(600)
    '''
    import textwrap
    run_processes([sys.executable, "-c", textwrap.dedent(CHILD)], 1)
"""


def test_children_end_when_their_parent_is_killed() -> None:
    parent = subprocess.Popen(python(PARENT), stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent, parent.stdout as said:
        child = int(said.readline())
        gone = os.pidfd_open(child)
        parent.kill()
        assert select.select([gone], [], [], 60)[0]
        os.close(gone)


def test_a_wish_to_end_is_passed_on() -> None:
    code = """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(600)
    """
    assert threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    assert run_processes(python(code), 1).status == 7
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_population_too_small_for_all_processes_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert mesh_of(None, 1).size == 1
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert mesh_of(None, 2).size == 2
    with pytest.raises(Refused, match="more agents, or fewer processes"):
        mesh_of(None, 1)


def test_nothing_stays_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    run_processes(python(""), 2, capture=True)
    assert len(os.listdir("/proc/self/fd")) == before
