"""The child process of a `local` agent: a llama.cpp server on the loopback, and nothing else.

The parent talks to it in lines of JSON over the child's standard input and output; over those the
random key travels too, so that neither arguments nor environment ever show it.
A native crash ends this process alone.
It ends when the parent does.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from typing import Any, BinaryIO


def main() -> None:
    """Start the server as the first line says, then answer one line after the other until EOF."""
    lines, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # What native code prints goes where errors go, a file: the pipe carries JSON alone.
    os.dup2(2, 1)
    order = json.loads(lines.readline())
    threading.Thread(target=_outlive_nobody, args=(order["parent"],), daemon=True).start()
    try:
        started = _start(order)
    except Exception as error:
        _say(answers, order, {"error": f"{type(error).__name__}: {error}"})
        os._exit(1)
    _say(answers, order, started[0])
    for line in lines:
        question = json.loads(line)
        _say(answers, question, _answer(question))
    # The server's own threads would keep a normal exit waiting for the calls in flight.
    os._exit(0)


def _outlive_nobody(parent: int) -> None:
    """End once the parent is gone, also when a third process still holds the other end of stdin."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def _start(order: dict[str, Any]) -> tuple[dict[str, Any], object]:
    xllamacpp: Any = importlib.import_module("xllamacpp")
    key = os.urandom(32).hex()
    params = xllamacpp.CommonParams()
    params.model.path = order["model"]
    params.n_parallel = order["parallel"]
    params.n_ctx = order["parallel"] * order["context"]
    params.kv_unified = True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = order["threads"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.ui = False
    params.endpoint_slots = False
    params.endpoint_metrics = False
    params.verbosity = 2
    server = xllamacpp.Server(params)
    # The server lives as long as the object: the caller keeps it.
    return {"address": server.listening_address, "key": key}, server


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    xllamacpp: Any = importlib.import_module("xllamacpp")
    try:
        return {"grammar": xllamacpp.json_schema_to_grammar(question["schema"])}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _say(answers: BinaryIO, question: dict[str, Any], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer | {"id": question["id"]}).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
