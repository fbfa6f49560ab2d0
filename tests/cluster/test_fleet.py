"""The child that keeps supervisors, with a cluster of its own making."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from hocket.app.supervisor import Report
from hocket.cluster import fleet
from hocket.cluster.connection import Node
from hocket.cluster.fleet import Fleet
from hocket.cluster.seat import Gone, Unreachable
from hocket.cluster.supervisors import Orders, Word
from hocket.cluster.versions import Hello, hello
from hocket.core.errors import Refused

pytestmark = pytest.mark.anyio

SECRET = "postgresql://hocket:swordfish@db/hocket"
NODE = Node(id="n", host="far", address="10.0.0.1", port=1, resources={}, tags=frozenset())
ORDERS = Orders(address="auto", entry="a:B", journal=SECRET, lease=15.0, most=7)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class OneNode:
    here = hello("2.60.0")

    def nodes(self) -> list[Node]:
        return [NODE]


class Actor:
    """A supervisor that opens, or refuses to, and then says what it is told to, or nothing more."""

    def __init__(self, refusal: str = "", *says: Report | Exception) -> None:
        self.refusal = refusal
        self.says = list(says)
        self.begun = 0
        self.begun_with: dict[str, Any] = {}
        self.asked: list[tuple[Any, ...]] = []

    def begin(self, entry: str, options: Mapping[str, Any], *, node: str) -> "Actor":
        self.begun += 1
        self.begun_with = {"entry": entry, **options}
        return self

    async def hello(self, here: Hello) -> Hello:
        return here

    async def ask(self, *words: Any) -> Any:
        self.asked.append(words)
        if words[0] == "open":
            if self.refusal:
                raise Refused(self.refusal)
            return None
        if self.says:
            said = self.says.pop(0)
            if isinstance(said, Exception):
                raise said
            return said
        await asyncio.Event().wait()

    def end(self) -> None:
        """Be gone."""


async def words(
    actor: Actor, monkeypatch: pytest.MonkeyPatch, count: int, there: OneNode | None = None
) -> list[Word]:
    """What the child says, until it has said so much."""
    monkeypatch.setattr(fleet, "begin", actor.begin)
    monkeypatch.setattr(fleet, "_EVERY", 0.01)
    heard: list[Word] = []
    enough = asyncio.Event()

    def tell(word: Word) -> None:
        heard.append(word)
        if len(heard) == count:
            enough.set()

    fleet_ = Fleet(there or OneNode(), ORDERS, tell)  # type: ignore[arg-type]
    kept = asyncio.create_task(fleet_.keep())
    async with asyncio.timeout(30):
        await enough.wait()
    kept.cancel()
    await asyncio.gather(kept, return_exceptions=True)
    return heard


async def test_ray_does_not_keep_where_the_journal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    actor = Actor()
    await words(actor, monkeypatch, 3)
    assert actor.begun_with["entry"] == "a:B" and "swordfish" not in str(actor.begun_with)
    assert actor.asked[0] == ("open", SECRET)


async def test_whose_file_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    actor = Actor("the journal's address cannot be read from /run/j")
    last = (await words(actor, monkeypatch, 8))[-1]
    assert "on node far" in last.refused and "/run/j" in last.refused


async def test_it_says_a_word_between_two_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third comes after the nodes were asked, and before the supervisor that hangs was."""
    actor = Actor()
    await words(actor, monkeypatch, 3)
    assert ("report",) not in actor.asked


WELL = Report(driven=3, most=7, draining=False)


async def test_one_that_cannot_be_reached_for_a_moment_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Let go of, it would end, and its calls in flight would be lost."""
    actor = Actor("", WELL, Unreachable("a blip of the network"), WELL, WELL)
    heard = await words(actor, monkeypatch, 11)
    assert actor.says == [] and actor.begun == 1
    assert [post.driven for post in heard[-1].posts] == [3]


async def test_one_that_is_gone_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    actor = Actor("", WELL, Gone("killed"), WELL, WELL)
    heard = await words(actor, monkeypatch, 13)
    assert actor.says == [] and actor.begun == 2
    assert [post.driven for post in heard[-1].posts] == [3]


async def test_what_was_refused_is_not_told_when_it_is_no_longer_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet, "_AGAIN", 0.0)
    actor = Actor("the journal's address cannot be read", *[Gone("killed")] * 20)
    begun = actor.begin

    def begin(entry: str, options: Mapping[str, Any], *, node: str) -> Actor:
        if actor.begun == 1:
            actor.refusal = ""
        return begun(entry, options, node=node)

    monkeypatch.setattr(actor, "begin", begin)
    heard = await words(actor, monkeypatch, 10)
    refused = [word.refused for word in heard]
    assert any("cannot be read" in each for each in refused)
    assert refused[-1] == ""


class Drained(OneNode):
    """A node that is drained from the third look on, and another one that joins then."""

    looks = 0

    def nodes(self) -> list[Node]:
        self.looks += 1
        if self.looks < 3:
            return [NODE]
        leaving = msgspec.structs.replace(NODE, leaving=True)
        return [leaving, msgspec.structs.replace(NODE, id="other", host="near")]


class Leaving(Actor):
    """A supervisor that does what it is asked to."""

    begun_on: list[str]
    ends = 0

    def begin(self, entry: str, options: Mapping[str, Any], *, node: str) -> Actor:
        self.begun_on = [*getattr(self, "begun_on", []), node]
        return super().begin(entry, options, node=node)

    async def ask(self, *words: Any) -> Any:
        self.asked.append(words)
        return {"open": None, "report": WELL, "drain": ("r1",)}[words[0]]

    def end(self) -> None:
        self.ends += 1


async def test_a_node_that_is_drained_is_left_in_time_and_gets_no_other_supervisor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    actor = Leaving()
    await words(actor, monkeypatch, 16, Drained())
    assert actor.begun_on == ["n", "other"]
    assert [words for words in actor.asked if words[0] == "drain"] == [("drain", 20.0)]
    assert actor.ends == 1
