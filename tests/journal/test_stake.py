"""What the living hold of limits is theirs also after a time in which they could say nothing."""

import asyncio
import time
from pathlib import Path

from hocket.core.values import SECOND
from hocket.journal.schema import in_transaction, open_for_writing
from hocket.journal.sharing import Told
from hocket.journal.sight import NEVER
from hocket.journal.sqlite_file import SqliteFile
from hocket.journal.stake import Stake
from hocket.limits.claim import Claim, Entry


class Seen(SqliteFile):
    """A database of which this process says by itself whose lease has lapsed."""

    before = NEVER

    def lapsed_before(self) -> int:
        return self.before


def test_nothing_is_buried_whose_lease_ended_while_the_database_was_away(tmp_path: Path) -> None:
    db = open_for_writing(tmp_path)
    seen = Seen(tmp_path)

    async def main() -> None:
        holder, other = Stake(lambda: None), Stake(lambda: None)
        holder.settle_in("", 1, seen)
        other.settle_in("", 3600 * SECOND, seen)
        entry = Entry("slots", "k1", 1, Claim())

        def sync() -> Told:
            found = in_transaction(db, lambda db: other.sync(db, {"slots": 0}, time.time_ns()))
            other.commit()
            return found.told

        sync()
        now = time.time_ns()
        in_transaction(db, lambda db: holder.reserve(db, [entry], {"slots": 0}, now, {"slots": 0}))
        holder.commit()
        assert [item.key for item in sync().entries] == ["k1"]
        seen.before = time.time_ns()
        assert sync().entries == ()

    asyncio.run(main())
    db.close()
