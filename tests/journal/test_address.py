"""What is wrong with a journal's address is said, and never a word of its password."""

from __future__ import annotations

from pathlib import Path

import pytest

from hocket.app.journals import journal_address, open_journal, opened, shown
from hocket.core.errors import Refused
from hocket.journal.address import mistake_in


@pytest.mark.parametrize("sign", ["/", "#", "?", "@", "["])
def test_a_sign_in_a_password_that_has_to_be_coded_is_named(sign: str, tmp_path: Path) -> None:
    address = f"postgresql://hocket:top{sign}secret@db.example:5432/hocket"
    kept = tmp_path / "address"
    kept.write_text(address)
    for given in (address, f"@{kept}"):
        with pytest.raises(Refused, match="%2F, # as %23") as told:
            journal_address(given)
        assert "top" not in str(told.value) and "secret" not in str(told.value)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://hocket@127.0.0.1:5432/hocket",
        "postgresql://hocket:%2F%23%40@[::1]:5432/hocket?sslmode=require",
        "postgresql://db.example/hocket?user=a@b",
        "postgresql:///hocket?host=/run/postgresql&user=me@here",
        "postgresql://me:p,w@a:5432,b:5433/hocket?target_session_attrs=read-write",
        "postgresql://a,b,[::1]:5433/hocket",
        "",
        "/var/lib/a=b",
        "folder",
    ],
)
def test_what_is_well_written_is_left_as_it_is(address: str) -> None:
    assert mistake_in(address) == ""
    assert journal_address(address) == address


def test_pairs_are_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for said in ("host=db password=secret", "dbname = hocket", "user=me"):
        with (
            pytest.raises(Refused, match=r"key=value .*postgresql://user@host") as told,
            opened(said),
        ):
            pass
        assert "secret" not in str(told.value)
    monkeypatch.setenv("HOCKET_JOURNAL", "host=db password=secret")
    with pytest.raises(Refused, match="key=value"):
        journal_address()
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_none_is_told_of() -> None:
    for hosts in ("db.example:none", "a:5432,b:none", "a,[::1"):
        with pytest.raises(Refused, match="the host or the port cannot be read"):
            journal_address(f"postgresql://{hosts}/hocket")
    for hosts in ("a,", ",a", "a,,b", "a,:5432"):
        with pytest.raises(Refused, match="a host is missing before or behind a comma"):
            journal_address(f"postgresql://{hosts}/hocket")


def test_a_host_in_the_query_is_shown_and_a_password_is_not() -> None:
    asked = "postgresql:///hocket?host=db.example&port=5433&password=secret"
    assert shown(asked) == "postgresql://db.example:5433/hocket"
    assert shown("postgresql://me:secret@db.example:1/x") == "postgresql://db.example:1/x"
    several = "postgresql://me:sec,ret@db.example:1,[::1]:2,c/x?password=secret"
    assert shown(several) == "postgresql://db.example:1,::1:2,c/x"
    assert shown("postgresql://me:se[cret@db.example:1/x") == "postgresql://…"


def test_other_schemes_are_still_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no journal can be kept at mysql://"):
        open_journal("mysql://x", tmp_path, 1.0)
