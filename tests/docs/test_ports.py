"""What the pages say of the server's port."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT

from hocket.server.settings import PORT


def test_prometheus_is_pointed_at_the_port_that_a_server_has() -> None:
    page = (ROOT / "docs/how-to/look-after-runs.md").read_text()
    assert re.findall(r'targets: \["127\.0\.0\.1:(\d+)"\]', page) == [str(PORT)]
