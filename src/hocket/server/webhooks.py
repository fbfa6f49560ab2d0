"""Questions posted to somebody's address, which may answer at once or later by the API.

A run never waits for an address: questions are read from the inbox, posted beside it, a few at
once, and again with growing pauses if the address fails; after that they still stand in the inbox.

Each request is signed: ``Hocket-Signature: t=SECONDS,v1=HEX``, where HEX is the HMAC-SHA256, with
the shared secret, of SECONDS, a full stop and the body.
A receiver recomputes it, and refuses what is older than a few minutes.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import io
import ipaddress
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit

import msgspec

from hocket.core.errors import HocketError, Refused
from hocket.core.requests import AnyRequest, Approve

SIGNATURE: Final = "Hocket-Signature"
MOST: Final = 4
"""How many requests are under way at once."""
PAUSES: Final = (1.0, 4.0, 15.0, 60.0)
"""The pauses, in seconds, before a request that has failed is made again."""

_EVERY: Final = 1.0
_PATIENCE: Final = 20.0
_MOST_REPLY: Final = 128 << 10
_MOST_TEXT: Final = 1_000
_MOST_TOLD: Final = 100
_AGAIN: Final = frozenset({408, 425, 429})
_BLIND: Final = "the inbox cannot be read for the webhook: %s"
_log: Final = logging.getLogger(__name__)

Questions = Callable[[], Awaitable[Sequence[Mapping[str, Any]]]]
"""Gives what people are asked, as the inbox has it."""


class Asks(Protocol):
    """Asks something of a run."""

    async def ask(self, run: str, request: AnyRequest) -> object:
        """Ask it.

        Raises:
            Refused: It does not fit the run's state.
        """


class Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a reply may hold.

    Fields:
        approved: The decision.
        digest: Of what it is the decision; it has to be what was posted.
        by: Who has decided.
        note: A word to whoever comes after.
    """

    approved: bool
    digest: str
    by: str = ""
    note: str = ""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where requests go.

    Fields:
        host: The server's name.
        port: Its port.
        tls: Whether the connection is encrypted.
        target: What is asked for there.
    """

    host: str
    port: int
    tls: bool
    target: str

    @property
    def name(self) -> str:
        """What it is called in logs and in runs: the path and the query may be secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def read_address(url: str) -> Address:
    """Read the address of a webhook.

    Raises:
        Refused: It is none, or what is posted there could be read by others.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused(f"a webhook's address cannot be read: {error}") from error
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host or not url.isascii() or " " in url:
        raise Refused("a webhook's address is https://HOST/PATH, or http:// on this machine")
    if parts.username is not None or parts.password is not None:
        raise Refused("a webhook's address holds no password; requests are signed instead")
    if parts.scheme == "http" and not _is_here(host):
        raise Refused(f"what is posted to http://{host} can be read on the way: use https")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    tls = parts.scheme == "https"
    return Address(host=host, port=port or (443 if tls else 80), tls=tls, target=target)


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def signature(secret: str, seconds: int, body: bytes) -> str:
    """Sign a body, as the header `SIGNATURE` has it."""
    mark = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256)
    return f"t={seconds},v1={mark.hexdigest()}"


class Webhook:
    """Posts each question once it is open, and takes what is replied for an answer.

    Args:
        url: Where to.
        questions: What people are asked; `hocket.server.questions.Inbox.questions`.
        asks: Takes answers; the server's host.
        secret: What requests are signed with; "" for not at all.
        most: How many requests are under way at once.
        pauses: The pauses before a request that has failed is made again.
        every: After how many seconds the inbox is looked at again.

    Raises:
        Refused: The address is none, or unsafe.
    """

    def __init__(
        self,
        url: str,
        questions: Questions,
        asks: Asks,
        *,
        secret: str = "",
        most: int = MOST,
        pauses: Sequence[float] = PAUSES,
        every: float = _EVERY,
    ) -> None:
        self.address = read_address(url)
        self._questions = questions
        self._asks = asks
        self._secret = secret
        self._room = asyncio.Semaphore(most)
        self._pauses = pauses
        self._every = every
        self._posted: dict[tuple[str, ...], asyncio.Task[None]] = {}
        self._told: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Post questions until cancelled; a question that nobody asks any more is let go."""
        said = ""
        try:
            while True:
                try:
                    await self._look()
                except Exception as error:
                    # It may last: it is said once, and so is its end.
                    if said != repr(error):
                        _log.error(_BLIND, error, exc_info=_unforeseen(error))
                    said = repr(error)
                else:
                    if said:
                        _log.warning("the inbox is read for the webhook again")
                    said = ""
                await asyncio.sleep(self._every)
        finally:
            tasks = [*self._posted.values(), *self._told]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def tell(self, news: Mapping[str, Any]) -> None:
        """Post something that nobody has to answer, as an alert; returns at once."""
        if len(self._told) >= _MOST_TOLD:
            _log.warning("webhook %s has too much to take; an alert is left out", self.address.name)
            return
        task = asyncio.create_task(self._tell(dict(news)), name="webhook")
        self._told.add(task)
        task.add_done_callback(self._told.discard)

    async def _tell(self, news: dict[str, Any]) -> None:
        await self._send(msgspec.json.encode(news), f"{news.get('kind')} {news.get('id')}")

    async def _look(self) -> None:
        now = {_key(one): one for one in await self._questions()}
        for key in self._posted.keys() - now.keys():
            self._posted.pop(key).cancel()
        for key, one in now.items():
            if key not in self._posted:
                work = self._deliver(dict(one))
                self._posted[key] = asyncio.create_task(work, name="webhook")

    async def _deliver(self, question: dict[str, Any]) -> None:
        """Post a question, and take what is replied for its answer."""
        where = f"{question['run']} {question['path']}"
        try:
            reply = await self._send(msgspec.json.encode(payload(question)), where)
            if reply is not None:
                await self._answer(question, reply)
        except Exception:
            # Nobody waits for this; the question still stands in the inbox.
            _log.exception("%s could not be asked by the webhook", where)

    async def _send(self, body: bytes, what: str) -> bytes | None:
        """Post a body until somebody has taken it; gives the reply, or None if it is hopeless."""
        name = self.address.name
        for pause in (*self._pauses, None):
            try:
                async with self._room:
                    status, reply = await self._post(body)
            except (OSError, EOFError, http.client.HTTPException, ValueError) as error:
                said, again = f"{type(error).__name__}: {error}", True
            else:
                if 200 <= status < 300:
                    return reply
                said, again = f"status {status}", status >= 500 or status in _AGAIN
            if pause is None or not again:
                _log.warning("webhook %s has not taken %s: %s", name, what, said)
                return None
            await asyncio.sleep(pause)
        return None

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        """Make one request; gives the status and the reply's body, cut at a length.

        Raises:
            OSError, EOFError, http.client.HTTPException: There was no whole reply.
        """
        at = self.address
        head = {
            "Host": at.name,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Accept": "application/json",
            "User-Agent": "hocket",
            "Connection": "close",
        }
        if self._secret:
            head[SIGNATURE] = signature(self._secret, int(time.time()), body)
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        async with asyncio.timeout(_PATIENCE):
            tls = ssl.create_default_context() if at.tls else None
            reader, writer = await asyncio.open_connection(at.host, at.port, ssl=tls)
            try:
                writer.write(f"POST {at.target} HTTP/1.1\r\n{lines}\r\n".encode() + body)
                await writer.drain()
                data = await _all(reader)
            finally:
                writer.close()
        if b"\r\n\r\n" not in data:
            raise EOFError("the reply ends before its body")
        reply = http.client.HTTPResponse(_Read(data), method="POST")  # type: ignore[arg-type]
        reply.begin()
        return reply.status, reply.read()

    async def _answer(self, question: dict[str, Any], reply: bytes) -> None:
        """Take a reply for an answer, if it is one."""
        name, where = self.address.name, f"{question['run']} {question['path']}"
        if not reply.strip() or question["kind"] != "approve":
            return
        try:
            said = msgspec.json.decode(reply, type=Said)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.warning("webhook %s gave no answer to %s: %s", name, where, error)
            return
        if said.digest != question["digest"]:
            _log.warning("webhook %s answered for other bytes than %s shows", name, where)
            return
        request = Approve(
            by=f"webhook:{said.by or name}"[:_MOST_TEXT],
            path=question["path"],
            approved=said.approved,
            digest=said.digest,
            note=said.note[:_MOST_TEXT],
        )
        try:
            await self._asks.ask(question["run"], request)
        except HocketError as error:
            _log.warning("what webhook %s answered to %s does not count: %s", name, where, error)


def _unforeseen(error: Exception) -> Exception | None:
    """Give an error if where it was raised has to be told, too."""
    return None if isinstance(error, HocketError) else error


def payload(question: Mapping[str, Any]) -> dict[str, Any]:
    """Give what is posted: the question, and how it can be answered later."""
    told = {key: value for key, value in question.items() if key != "path"}
    step = question["path"]
    body: dict[str, Any] = {"step": step}
    verb = "send"
    if question["kind"] == "approve":
        verb = "approve"
        body |= {"digest": question["digest"], "approved": True, "note": ""}
    else:
        body["value"] = None
    path = f"/api/runs/{quote(question['run'], safe='')}/{verb}"
    return {**told, "step": step, "answer": {"method": "POST", "path": path, "body": body}}


async def _all(reader: asyncio.StreamReader) -> bytes:
    """Read to the end, or as much as a reply may have."""
    data = b""
    while len(data) <= _MOST_REPLY:
        more = await reader.read(_MOST_REPLY)
        if not more:
            return data
        data += more
    raise ValueError(f"the reply is longer than {_MOST_REPLY:,} bytes")


class _Read:
    """What was read, as `http.client` reads a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        """Give it as a file."""
        return io.BytesIO(self._data)


def _key(question: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(question[name]) for name in ("run", "path", "digest", "asked_at"))
