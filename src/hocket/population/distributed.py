"""Several processes that run one population together, each with a share of its blocks.

JAX runs the same program in each; they talk over gloo, on this machine over its loopback.
All of them die if one does: what is left then is the last checkpoint.
A process is told which one it is by its environment, so that the same command serves for all.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType, TracebackType
from typing import IO, Any, Final, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.extend.backend import register_backend_factory

from hocket.config.population import NODES
from hocket.core.errors import HocketError, PeerError, Refused
from hocket.population.devices import Platform, prepare
from hocket.population.place import Place

_GRACE: Final = 5.0
"""Seconds that processes have to end by themselves."""

_PAUSE: Final = 0.05
"""Seconds between two looks at the processes."""

_PARTING: Final = 10
"""Seconds that a process which has ended waits for the others, which may never come."""

_LAST_WORDS: Final = 20
"""How many lines of a dead process are shown."""


class ProcessDied(PeerError):
    """One of the processes ended; the others were ended with it."""


def connect(place: Place, devices: int | None = None, platform: Platform | None = None) -> None:
    """Join the other processes; it must be done before JAX has done anything.

    Args:
        place: Which process this is.
        devices: How many processor cores this process uses; if left out its share of all, or, as
            processes share evenly, the power of two below that.
        platform: The processor, or GPUs; whatever JAX prefers, if left out.

    Raises:
        Refused: if JAX is at work already, or the others are not found.
    """
    end_with_parent(place)
    if devices is None and platform != "gpu":
        share = max((os.cpu_count() or 1) // place.processes, 1)
        devices = 1 << (share.bit_length() - 1)
    try:
        jax.distributed.initialize(
            place.address,
            place.processes,
            place.process,
            shutdown_timeout_seconds=_PARTING,
            # Else it would listen to every network that the machine is in.
            coordinator_bind_address=place.address,
        )
    except RuntimeError as error:
        raise Refused(
            f"process {place.process} of {place.processes} cannot join at {place.address}: {error}"
        ) from error
    _keep_output_clean()
    sys.excepthook = _die
    _listen_at(_own_address(place.address))
    prepare(devices, platform)


def _own_address(address: str) -> str:
    """This machine's address in the network in which the first process is found."""
    host, _, port = address.rpartition(":")
    kind, _, _, _, there = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
    with socket.socket(kind, socket.SOCK_DGRAM) as probe:
        # Nothing is sent: this only chooses the way.
        probe.connect(there)
        own: str = probe.getsockname()[0]
    return own


def _listen_at(address: str) -> None:
    """Have gloo be found at this address.

    By itself it takes what the machine's name stands for, which often is the loopback, where
    nobody on another machine finds it.
    JAX has no setting for that.
    """
    bridge = import_module("jax._src.xla_bridge")
    state = import_module("jax._src.distributed").global_state
    make = import_module("jaxlib._jax").make_gloo_tcp_collectives

    def client() -> Any:
        collectives = make(distributed_client=state.client, hostname=address)
        return bridge.make_cpu_client(collectives=collectives)

    register_backend_factory("cpu", client, priority=0, fail_quietly=False)


def _die(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """End at once after an error: JAX would wait for minutes for those that wait for this one."""
    sys.__excepthook__(kind, error, trace)
    sys.stderr.flush()
    os._exit(1)


def _keep_output_clean() -> None:
    """Gloo greets its peers on standard output, where only results belong: it gets the errors'."""
    sys.stdout.flush()
    results = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = open(results, "w", encoding=sys.stdout.encoding, buffering=1)  # noqa: SIM115


def end_with_parent(place: Place) -> None:
    """From now on, end this process at once when the one that started it is gone.

    The other processes end too; else they would wait for each other for ever.
    """
    if place.parent is not None:
        threading.Thread(target=_end_with, args=(place.parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.read(parent, 1):
        continue
    os._exit(1)


def leads() -> bool:
    """Whether this is the process that writes files and tells people: the first one."""
    return jax.process_index() == 0


def anyone(flag: bool) -> bool:
    """Whether any of the processes says so; each must ask, as it is a step they take together."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array([flag]))))


def agreed(number: int) -> int:
    """What the leading process says, for all of them; each must ask."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.broadcast_one_to_all(np.asarray(number, np.int32)))


def led(work: Callable[[], object]) -> None:
    """Let the leading process do something alone; the others wait for it, and fail if it does.

    Args:
        work: What only one may do, such as to write a file; it must not compute together.

    Raises:
        HocketError: what `work` has raised, in the leading process.
        OSError: likewise.
        Refused: that it has, in the others.
    """
    failed: HocketError | OSError | None = None
    if leads():
        try:
            work()
        except (HocketError, OSError) as error:
            failed = error
    if anyone(failed is not None):
        raise failed or Refused("the leading process could not write; it says why")


class Done(NamedTuple):
    """What came of the processes.

    Fields:
        status: With which status all of them have ended.
        printed: What the first one has printed, if that was asked for.
        said: The end of what each other one has said on standard error, where it goes nowhere.
    """

    status: int
    printed: bytes
    said: tuple[str, ...]


def run_processes(
    command: Sequence[str],
    processes: int,
    *,
    environment: Mapping[str, str] | None = None,
    resume: str | None = None,
    capture: bool = False,
) -> Done:
    """Start a command several times over, each knowing its place, and wait for all.

    The first one's output goes where this process's goes.
    The first SIGINT or SIGTERM is passed on to all of them, so that they can agree to stop; the
    second ends them.
    Whatever happens, none of them is left when this returns or raises; if this process is killed
    they end by themselves.

    Args:
        command: The command and its arguments; it calls `connect` if
            `hocket.population.place.my_place` says so.
        processes: How many; a power of two, so that they share a population's parts evenly.
        environment: Of the processes; this one's, if left out.
        resume: How to go on after one has died, for the message; None if nothing is saved.
        capture: Whether to return what the first one prints instead of letting it through.

    Returns:
        The status that all of them ended with, which need not be 0.

    Raises:
        Refused: if that is no number of processes.
        ProcessDied: if one was killed, or ended in another way than the others.
    """
    if processes not in NODES:
        raise Refused(f"{processes} processes cannot share a population evenly: give 1, 2, 4 or 8")
    address = f"127.0.0.1:{_free_port()}"
    read, write = os.pipe()
    children: list[_Child] = []
    try:
        # A wish to end must find its way from the first child on.
        with _passing_on(children):
            for number in range(processes):
                place = Place(number, processes, address, read).environment
                kept = {**(os.environ if environment is None else environment), **place}
                children.append(_Child(command, number, kept, read, capture=capture))
            status = _wait(children, resume)
        said = tuple(child.last_words() for child in children[1:])
        return Done(status, children[0].printed(), said)
    finally:
        # They see the end of this before anything else, and need no signal.
        os.close(write)
        os.close(read)
        _end(children)


class _Child:
    """One of the processes.

    Args:
        command: What it runs.
        number: Its number.
        environment: Its environment.
        parent: The descriptor that ends when this process does.
        capture: Whether to keep what the first one prints.
    """

    def __init__(
        self,
        command: Sequence[str],
        number: int,
        environment: Mapping[str, str],
        parent: int,
        *,
        capture: bool,
    ) -> None:
        self.number = number
        first = number == 0
        self._out: IO[Any] | None = tempfile.TemporaryFile() if first and capture else None  # noqa: SIM115
        self._errors: IO[Any] = tempfile.TemporaryFile()  # noqa: SIM115
        quiet = None if first else subprocess.DEVNULL
        self.process = subprocess.Popen(
            list(command),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=self._out or quiet,
            stderr=None if first and not capture else self._errors,
            pass_fds=(parent,),
            start_new_session=True,
        )

    def printed(self) -> bytes:
        """What it has printed, if that was kept."""
        return b"" if self._out is None else _read(self._out)

    def last_words(self) -> str:
        """The end of what it said on standard error, if that was kept."""
        lines = _read(self._errors).decode(errors="replace").strip().splitlines()
        return "\n".join(lines[-_LAST_WORDS:])

    def close(self) -> None:
        """Give its files back."""
        self._errors.close()
        if self._out is not None:
            self._out.close()


def _read(file: IO[Any]) -> bytes:
    file.seek(0)
    kept: bytes = file.read()
    return kept


@contextmanager
def _passing_on(children: Sequence[_Child]) -> Iterator[None]:
    """Give signals that ask to end to the processes, instead of ending before them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    asked = 0

    def pass_on(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise KeyboardInterrupt
        for child in children:
            if child.process.poll() is None:
                child.process.send_signal(number)

    before = {each: signal.signal(each, pass_on) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _wait(children: Sequence[_Child], resume: str | None) -> int:
    """Wait until all have ended alike, or one has died."""
    until: float | None = None
    while True:
        codes = [child.process.poll() for child in children]
        if len(set(codes)) == 1 and codes[0] is not None and codes[0] >= 0:
            return codes[0]
        # One that has ended leaves the others little time to do so too.
        if until is None and any(code is not None for code in codes):
            until = time.monotonic() + _GRACE
        dead = [child for child, code in zip(children, codes, strict=True) if code is not None]
        broken = any(code is not None and code < 0 for code in codes)
        if broken or (until is not None and time.monotonic() > until) or len(dead) == len(children):
            raise ProcessDied(_story(_first(dead), len(children), resume))
        time.sleep(_PAUSE)


def _first(dead: Sequence[_Child]) -> _Child:
    """Which has likely died first: JAX aborts the others when one is gone."""
    killed = [child for child in dead if child.process.returncode == -signal.SIGKILL]
    failed = [child for child in dead if child.process.returncode != 0]
    return (killed or failed or list(dead))[0]


def _story(child: _Child, processes: int, resume: str | None) -> str:
    code = child.process.returncode
    how = f"with status {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
    story = f"process {child.number} of {processes} ended {how}, and the others were ended with it"
    if resume is None:
        story += "; nothing was saved to go on from"
    else:
        story += f"; go on from the last checkpoint with: {resume}"
    said = child.last_words()
    return f"{story}\n{said}" if said else story


def _end(children: Sequence[_Child]) -> None:
    """See that none is left."""
    running = [child.process for child in children if child.process.poll() is None]
    for process in running:
        process.terminate()
    until = time.monotonic() + _GRACE
    for process in running:
        try:
            process.wait(max(until - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for child in children:
        child.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
