"""``hocket serve``: the page, the API and all that they drive, in one process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter, validators

from hocket.app.host import Host
from hocket.cli.options import FILE
from hocket.cli.sharing import Sharing
from hocket.core.errors import NotFound, Refused
from hocket.insight.alerts import rules_with
from hocket.server.serve import Ready, serve
from hocket.server.settings import PORT, PROXIES, Settings


@dataclass(frozen=True, kw_only=True)
class Listen:
    """How the server listens; its options are those of the command."""

    host: Annotated[str, Parameter(help="The address to listen on.", show_default=True)] = (
        "127.0.0.1"
    )
    port: Annotated[
        int,
        Parameter(
            help="The port; 0 for any that is free.",
            show_default=True,
            validator=validators.Number(gte=0, lte=65535),
        ),
    ] = PORT
    name: Annotated[
        list[str] | None,
        Parameter(help="A further name that browsers call it by; repeatable.", negative=()),
    ] = None
    public: Annotated[
        bool, Parameter(help="Let other machines in; needs TLS or a proxy.", negative=())
    ] = False
    cert: Annotated[Path | None, Parameter(help="The TLS certificate.")] = None
    key: Annotated[Path | None, Parameter(help="Its key.")] = None
    behind_proxy: Annotated[
        bool, Parameter(help="A proxy with TLS stands before it.", negative=())
    ] = False
    proxy: Annotated[
        list[str] | None,
        Parameter(help="The proxy's address, by default this machine's; repeatable.", negative=()),
    ] = None

    @property
    def settings(self) -> Settings:
        """The same, as the server takes it."""
        return Settings(
            host=self.host,
            port=self.port,
            names=tuple(self.name or ()),
            cert=self.cert,
            key=self.key,
            public=self.public,
            behind_proxy=self.behind_proxy,
            proxies=tuple(self.proxy or PROXIES),
        )


@dataclass(frozen=True, kw_only=True)
class Post:
    """What is told to whom; its options are those of the command."""

    alert: Annotated[
        list[str] | None,
        Parameter(help="Another rule for alerts, as 'step > 5m'; repeatable.", negative=()),
    ] = None
    webhook: Annotated[
        str, Parameter(help="An address that questions and alerts are posted to.")
    ] = ""
    webhook_secret_env: Annotated[
        str, Parameter(help="The variable with the secret that they are signed with.")
    ] = ""

    @property
    def secret(self) -> str:
        """What questions are signed with.

        Raises:
            Refused: The variable is not set, or there is nothing to sign.
        """
        if not self.webhook_secret_env:
            return ""
        if not self.webhook:
            raise Refused("--webhook-secret-env needs --webhook")
        found = os.environ.get(self.webhook_secret_env, "")
        if not found:
            raise Refused(f"the variable {self.webhook_secret_env} is not set")
        return found


_LISTEN: Final = Listen()
_SHARING: Final = Sharing()
_POST: Final = Post()


def serve_(
    *files: Path,
    listen: Annotated[Listen, Parameter(name="*")] = _LISTEN,
    post: Annotated[Post, Parameter(name="*")] = _POST,
    sharing: Annotated[Sharing, Parameter(name="*")] = _SHARING,
    new_tokens: Annotated[
        bool, Parameter(help="Make new tokens; the old ones count no more.", negative=())
    ] = False,
    open_: Annotated[
        bool, Parameter(name="--open", help="Open the page in a browser.", negative=())
    ] = False,
    json_: Annotated[
        bool, Parameter(name="--json", help="Say where it is as a line of JSON.", negative=())
    ] = False,
) -> int:
    """Serve the live page and the API of this state folder.

    Only plans of the files given here can be started through it.
    Ctrl-C stops it, and what it was driving goes on when it is started again, or at once where
    another process works on the same journal. SIGTERM lets calls in flight end first.

    Args:
        files: Files of plans; without any, the hocket.yaml of this folder if there is one.
    """

    def ready(told: Ready) -> None:
        _say(told, json_=json_)
        if open_:
            _open(told)
        # Reading files takes a moment, in which the server can answer already.
        asyncio.get_running_loop().call_soon(_say_problems, told.host)

    how = serve(
        listen.settings,
        _offered(files),
        sharing.share,
        ready=ready,
        ending=_ending,
        new_tokens=new_tokens,
        webhook=post.webhook,
        webhook_secret=post.secret,
        rules=rules_with(post.alert or ()),
    )
    stopped = asyncio.run(how).stopped
    if stopped:
        print(f"stopped {', '.join(stopped)}: hocket serve goes on with them", file=sys.stderr)
    return 0


def _ending() -> None:
    print("stopping; Ctrl-C again stops at once", file=sys.stderr, flush=True)


def _offered(files: tuple[Path, ...]) -> list[Path]:
    """Give the files whose plans are offered.

    Raises:
        NotFound: One of them is not there.
    """
    for path in files:
        if not path.is_file():
            raise NotFound(f"there is no file {path}")
    usual = Path(FILE)
    return list(files) or ([usual] if usual.is_file() else [])


def _say(told: Ready, *, json_: bool) -> None:
    if json_:
        where = {"url": told.where.url, "pid": told.where.pid, "state": told.where.state}
        tokens = {"operate": told.tokens.operate, "view": told.tokens.view}
        print(json.dumps({**where, "tokens": tokens}), flush=True)
        return
    print(f"page       {told.page()}")
    print(f"look only  {told.page(view=True)}", flush=True)
    print(f"state      {told.where.state}", file=sys.stderr)
    print("Ctrl-C stops it; its runs go on when it is started again", file=sys.stderr, flush=True)


def _say_problems(host: Host) -> None:
    """Show what is wrong with offered files; the rest can be started all the same."""
    for line in dict.fromkeys(line for offer in host.offers() for line in offer.problems):
        print(line, file=sys.stderr, flush=True)


def _open(told: Ready) -> None:
    """Open the page by way of a file, for a browser's command line is there for all to read."""
    path = Path(told.where.state) / "server" / "open.html"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f'<meta http-equiv="refresh" content="0; url={told.page()}">\n')
    if not webbrowser.open(path.as_uri()):
        print("no browser could be opened; open the address above", file=sys.stderr)
