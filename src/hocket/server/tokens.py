"""The two tokens of a state folder: one to look with, one to act with."""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import Final

import msgspec

from hocket.core.errors import Refused
from hocket.server.routing import Role

FOLDER: Final = "server"
_FILE: Final = "token"
_BYTES: Final = 32


class Tokens(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What proves who may do what; each 256 random bits.

    Fields:
        view: Lets its bearer look.
        operate: Lets its bearer look and act.
    """

    view: str
    operate: str

    def __repr__(self) -> str:
        return "Tokens(…)"

    def role_of(self, given: str) -> Role | None:
        """Say what a token allows; it takes as long for a nearly right one as for any other."""
        sent = given.encode("utf-8", "surrogatepass")
        view = hmac.compare_digest(sent, self.view.encode())
        operate = hmac.compare_digest(sent, self.operate.encode())
        if operate:
            return "operate"
        return "view" if view else None


def tokens_of(state: Path, *, new: bool = False) -> Tokens:
    """Give the tokens of a state folder; made once, readable by their owner alone.

    Args:
        state: The state folder.
        new: Make new ones; whoever holds the old ones has to be given these.

    Raises:
        Refused: The file is a link, can be read by others, or holds something else.
    """
    path = state / FOLDER / _FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if new:
            _write(path, replace=True)
        elif not os.path.lexists(path):
            _write(path, replace=False)
        return _read(path)
    except OSError as error:
        raise Refused(f"cannot keep the server's tokens in {path}: {error.strerror}") from error


def _write(path: Path, *, replace: bool) -> None:
    made = Tokens(view=secrets.token_urlsafe(_BYTES), operate=secrets.token_urlsafe(_BYTES))
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(made))
        if replace:
            draft.replace(path)
        else:
            # Of two servers that begin at once the first one's tokens stand.
            _link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _link(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)
    except FileExistsError:
        return


def _read(path: Path) -> Tokens:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        data = file.read(4096)
    if about.st_uid != os.getuid() or stat.S_IMODE(about.st_mode) & 0o077:
        raise Refused(f"{path} can be read by others: chmod 600 it, or hocket serve --new-tokens")
    try:
        tokens = msgspec.json.decode(data, type=Tokens)
    except msgspec.MsgspecError as error:
        raise Refused(f"{path} holds no tokens: hocket serve --new-tokens makes some") from error
    if min(len(tokens.view), len(tokens.operate)) < _BYTES or tokens.view == tokens.operate:
        raise Refused(f"{path} holds no good tokens: hocket serve --new-tokens makes some")
    return tokens
