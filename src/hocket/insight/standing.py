"""For how long a run only waited for people, folded from its events."""

from __future__ import annotations

import msgspec

from hocket.core.people import asking_call
from hocket.core.values import Call


class Standing(msgspec.Struct):
    """What people are asked, and how long nothing else went on meanwhile.

    A call that asks something stands still as well until there is an answer.

    Fields:
        asking: Calls in flight that wait for an answer: since when.
        held: For how many nanoseconds calls in flight have waited for answers, all added up.
        open: The questions that there are, by path.
        before: For how many nanoseconds nothing but answers was waited for, until something was.
        since: Since when nothing but answers is waited for; None while something is.
    """

    asking: dict[Call, int] = {}
    held: int = 0
    open: dict[str, None] = {}
    before: int = 0
    since: int | None = None

    def asked(self, path: str, at: int) -> None:
        """Somebody is asked something."""
        self.open[path] = None
        call = asking_call(path)
        if call is not None:
            self.asking.setdefault(call, at)

    def answered(self, path: str, at: int) -> None:
        """Somebody has answered, or nobody is asked any more."""
        self.open.pop(path, None)
        call = asking_call(path)
        if call is not None and not any(asking_call(other) == call for other in self.open):
            self.landed(call, at)
        if call is not None or not self.open:
            self.stops(at)

    def landed(self, call: Call, at: int) -> None:
        """A call has ended, or has its answer."""
        since = self.asking.pop(call, None)
        if since is not None:
            self.held += at - since
            for path in [path for path in self.open if asking_call(path) == call]:
                del self.open[path]

    def begins(self, at: int) -> None:
        """From now on nothing but answers is waited for, if any is."""
        if self.since is None and self.open:
            self.since = at

    def stops(self, at: int) -> None:
        """Something else is waited for since an instant, or nothing is."""
        if self.since is not None:
            self.before += max(0, at - self.since)
            self.since = None

    def anew(self, at: int) -> None:
        """What had been asked is asked no more; a plan that has changed asks again."""
        self.stops(at)
        for call in list(self.asking):
            self.landed(call, at)
        self.open.clear()

    def took(self, until: int) -> int:
        """Give for how many nanoseconds nothing but answers was waited for."""
        return self.before + (0 if self.since is None else max(0, until - self.since))
