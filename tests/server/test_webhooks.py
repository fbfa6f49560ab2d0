"""Questions posted to an address: signed, bounded, answered at once or later, never followed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from hocket.core.errors import JournalError, Refused
from hocket.core.requests import AnyRequest, Approve
from hocket.server.webhooks import SIGNATURE, Webhook, payload, read_address, signature

Answer = Callable[[int, dict[str, str], bytes], bytes | Awaitable[bytes]]


def question(path: str = "ok", **fields: Any) -> dict[str, Any]:
    told = {
        "run": "r 1",
        "name": "p",
        "path": path,
        "kind": "approve",
        "shown": "rm -rf build",
        "digest": f"d-{path}",
        "asked_at": 1.0,
        "expires": 2.0,
        "on_timeout": "pause",
    }
    return {**told, **fields}


class Host:
    """Takes answers."""

    def __init__(self, refusal: str = "") -> None:
        self.asked: list[tuple[str, AnyRequest]] = []
        self.refusal = refusal

    async def ask(self, run: str, request: AnyRequest) -> None:
        self.asked.append((run, request))
        if self.refusal:
            raise Refused(self.refusal)


class Receiver:
    """A server on 127.0.0.1 that replies as it is told."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.now = self.most = 0

    async def __aenter__(self) -> Receiver:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers["Content-Length"]))
        self.got.append((head[0], headers, body))
        reply = self.answer(len(self.got), headers, body)
        writer.write(reply if isinstance(reply, bytes) else await reply)
        self.now -= 1
        writer.close()


def http(status: int, body: Any = None, *more: str) -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}", *more, "", ""]
    return "\r\n".join(lines).encode() + data


def yes(count: int, headers: dict[str, str], body: bytes) -> bytes:
    told = json.loads(body)
    return http(200, {"approved": True, "digest": told["digest"], "by": "anna", "note": "ok"})


def play(
    answer: Answer,
    questions: list[dict[str, Any]],
    until: Callable[[Receiver, Host], bool],
    *,
    host: Host | None = None,
    path: str = "/hook?x=1",
    news: dict[str, Any] | None = None,
    errors: Sequence[Exception] = (),
    **more: Any,
) -> tuple[Receiver, Host]:
    """Run a webhook until something holds; the inbox cannot be read for some errors first."""
    host, left = host or Host(), list(errors)

    async def ask() -> list[dict[str, Any]]:
        if left:
            raise left.pop(0)
        return questions

    async def main() -> Receiver:
        async with Receiver(answer) as receiver:
            url = f"http://127.0.0.1:{receiver.port}{path}"
            fields = {"pauses": (0.01, 0.01), "every": 0.01, **more}
            hook = Webhook(url, ask, host, **fields)
            task = asyncio.create_task(hook.run())
            if news is not None:
                hook.tell(news)
            async with asyncio.timeout(20):
                while not until(receiver, host):  # noqa: ASYNC110 (a real socket)
                    await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return receiver

    return asyncio.run(main()), host


def test_a_reply_is_an_answer_in_the_name_of_who_gave_it() -> None:
    receiver, host = play(yes, [question()], lambda r, h: bool(h.asked), secret="s3")
    [(line, headers, body)] = receiver.got
    assert line == "POST /hook?x=1 HTTP/1.1"
    told = json.loads(body)
    assert (told["run"], told["step"], told["shown"]) == ("r 1", "ok", "rm -rf build")
    assert told["answer"] == {
        "method": "POST",
        "path": "/api/runs/r%201/approve",
        "body": {"step": "ok", "digest": "d-ok", "approved": True, "note": ""},
    }
    seconds = int(headers[SIGNATURE].split(",")[0].removeprefix("t="))
    assert headers[SIGNATURE] == signature("s3", seconds, body)
    assert headers[SIGNATURE] != signature("other", seconds, body)
    assert host.asked == [
        ("r 1", Approve(by="webhook:anna", path="ok", approved=True, digest="d-ok", note="ok"))
    ]


def test_an_empty_reply_leaves_the_question_open_and_is_not_posted_again() -> None:
    receiver, host = play(lambda *_: http(204), [question()], lambda r, h: len(r.got) == 1)
    assert (len(receiver.got), host.asked) == (1, [])


def test_an_inbox_that_cannot_be_read_for_a_while_is_read_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors = [RuntimeError("odd"), JournalError("away"), JournalError("away")]
    _, host = play(yes, [question()], lambda r, h: bool(h.asked), errors=errors)
    assert len(host.asked) == 1
    odd, away, again = (record for record in caplog.records if "inbox" in record.message)
    assert odd.levelno == logging.ERROR and odd.exc_info is not None, "it has to be found"
    assert away.message == "the inbox cannot be read for the webhook: away"
    assert again.message == "the inbox is read for the webhook again"


def test_an_answer_that_fails_is_told_and_others_are_posted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Host):
        async def ask(self, run: str, request: AnyRequest) -> None:
            await super().ask(run, request)
            raise RuntimeError("odd")

    asked = [question("a"), question("b")]
    play(yes, asked, lambda r, h: len(h.asked) == 2, host=Broken())
    told = {record.message for record in caplog.records}
    assert told == {f"r 1 {path} could not be asked by the webhook" for path in "ab"}


@pytest.mark.parametrize(
    "reply",
    [
        {"approved": True, "digest": "other"},
        {"approved": "yes", "digest": "d-ok"},
        {"approved": True, "digest": "d-ok", "extra": 1},
        ["approved"],
    ],
)
def test_what_is_no_answer_to_this_question_does_not_count(reply: Any) -> None:
    _, host = play(lambda *_: http(200, reply), [question()], lambda r, h: len(r.got) == 1)
    assert host.asked == []


def test_an_alert_is_posted_and_no_reply_to_it_is_an_answer() -> None:
    alert = {"kind": "alert", "id": 1, "message": "providers refused 3 calls", "digest": "d"}
    receiver, host = play(yes, [], lambda r, h: len(r.got) == 1, news=alert, secret="s3")
    [(_, headers, body)] = receiver.got
    assert json.loads(body) == alert
    assert SIGNATURE in headers
    assert host.asked == []


def test_an_address_that_fails_is_asked_again_a_few_times_and_no_more() -> None:
    receiver, host = play(
        lambda n, *_: http(503) if n < 3 else http(200, {"approved": False, "digest": "d-ok"}),
        [question()],
        lambda r, h: bool(h.asked),
    )
    assert len(receiver.got) == 3
    assert host.asked[0][1].by.startswith("webhook:127.0.0.1:")
    receiver, host = play(lambda *_: http(500), [question()], lambda r, h: len(r.got) == 3)
    assert (len(receiver.got), host.asked) == (3, [])


@pytest.mark.parametrize("reply", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_garbage_is_a_failure(reply: bytes) -> None:
    _, host = play(lambda *_: reply, [question()], lambda r, h: len(r.got) == 3)
    assert host.asked == []


def test_a_redirect_is_not_followed() -> None:
    receiver, host = play(
        lambda *_: http(307, None, "Location: http://127.0.0.1:1/x"),
        [question()],
        lambda r, h: len(r.got) == 1,
    )
    assert (len(receiver.got), host.asked) == (1, [])


def test_only_so_many_are_under_way_at_once() -> None:
    async def slow() -> bytes:
        await asyncio.sleep(0.05)
        return http(204)

    many = [question(f"q{i}") for i in range(12)]
    receiver, _ = play(lambda *_: slow(), many, lambda r, h: len(r.got) == 12, most=3)
    assert receiver.most == 3


def test_what_is_refused_and_a_reply_that_is_too_long_harm_nobody() -> None:
    host = Host("'ok' was approved by bob 3 s ago")
    play(yes, [question()], lambda r, h: bool(h.asked), host=host)
    huge = http(200, "x" * 200_000)
    _, host = play(lambda *_: huge, [question()], lambda r, h: len(r.got) == 3)
    assert host.asked == []


def test_an_input_is_told_of_with_its_own_way_to_answer() -> None:
    told = payload(question("q", kind="input", digest=""))
    assert told["answer"]["path"] == "/api/runs/r%201/send"
    assert told["answer"]["body"] == {"step": "q", "value": None}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.org/x", "use https"),
        ("ftp://127.0.0.1/x", "https://HOST/PATH"),
        ("https://", "https://HOST/PATH"),
        ("https://u:p@example.org/", "holds no password"),
        ("https://example.org:x/", "cannot be read"),
        ("http://localhost.example.org/", "use https"),
        ("http://127.0.0.1/a b", "https://HOST/PATH"),
        ("http://127.0.0.1/a\r\nX: y", "https://HOST/PATH"),
    ],
)
def test_an_unsafe_address_is_refused(url: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        read_address(url)


def test_safe_addresses_are_read_and_named_without_their_secrets() -> None:
    found = read_address("https://example.org/hook?key=abc")
    assert (found.tls, found.port, found.target) == (True, 443, "/hook?key=abc")
    assert found.name == "example.org"
    here = read_address("http://[::1]:8080")
    assert (here.target, here.name) == ("/", "[::1]:8080")
