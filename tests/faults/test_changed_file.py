"""A plan's file that has changed, or is gone, when its run is taken up again."""

from tests.cli.kit import Done, Home
from tests.faults.test_kill import notes

FAILS = "bad:\n  shell: 'test -e mended'\n  needs: [good]\n"


def failed(home: Home) -> None:
    home.write(notes("good") + FAILS)
    assert home.hocket("run", "--id", "r").status == 1
    assert home.lines("done.txt") == ["good"]


def paused(home: Home) -> None:
    """A run with one step done, stopped at a question."""
    home.write(notes("good") + "ok:\n  approve: 'Go?'\n  needs: [good]\n" + notes("after", "ok"))
    assert home.hocket("run", "--id", "r", "--no-wait").status == 3


def change(home: Home) -> Done:
    text = home.file("hocket.yaml").read_text()
    home.file("hocket.yaml").write_text(text.replace("echo after >>", "echo changed >>"))
    return home.hocket("resume", "r", "--no-wait")


def test_a_changed_file_is_refused_with_what_has_changed(home: Home) -> None:
    paused(home)
    before = home.events()
    done = change(home)
    assert done.status == 2
    assert "hocket.yaml has changed since run r began:" in done.err
    assert "-" in done.err and "echo after >>" in done.err
    assert "+" in done.err and "echo changed >>" in done.err
    assert "add --new-spec (equal steps stay done)" in done.err
    assert "add --pinned" in done.err
    assert home.events() == before


def test_pinned_goes_on_as_the_run_began(home: Home) -> None:
    paused(home)
    change(home)
    home.hocket("approve", "r", "--yes")
    assert home.ok("resume", "r", "--pinned").status == 0
    assert home.lines("done.txt") == ["good", "after"]


def test_new_spec_keeps_what_is_done_and_equal(home: Home) -> None:
    paused(home)
    change(home)
    done = home.hocket("resume", "r", "--new-spec", "--no-wait")
    assert done.status == 3, done
    assert home.hocket("approve", "r", "--yes").status == 0
    assert home.ok("resume", "r").status == 0
    assert home.lines("done.txt") == ["good", "changed"]


def test_new_spec_of_a_failed_run_mends_it(home: Home) -> None:
    failed(home)
    home.write(notes("good") + FAILS.replace("test -e mended", "true"))
    assert home.ok("resume", "r", "--new-spec").status == 0
    assert home.lines("done.txt") == ["good"]


def test_new_spec_with_mistakes_is_refused(home: Home) -> None:
    paused(home)
    home.write(notes("good", "nix"))
    done = home.hocket("resume", "r", "--new-spec")
    assert done.status == 2
    assert "hocket.yaml:" in done.err and "'nix'" in done.err


def test_new_spec_and_pinned_exclude_each_other(home: Home) -> None:
    paused(home)
    done = home.hocket("resume", "r", "--new-spec", "--pinned")
    assert (done.status, done.err) == (2, "--new-spec and --pinned exclude each other\n")


def test_a_file_that_is_gone_changes_nothing(home: Home) -> None:
    paused(home)
    home.file("hocket.yaml").unlink()
    home.hocket("approve", "r", "--yes")
    done = home.hocket("resume", "r", "--new-spec")
    assert done.status == 2 and "say where with --file" in done.err
    assert home.ok("resume", "r").status == 0
    assert home.lines("done.txt") == ["good", "after"]


def test_a_file_that_has_moved_is_named(home: Home) -> None:
    paused(home)
    home.file("hocket.yaml").rename(home.file("other.yaml"))
    home.hocket("approve", "r", "--yes")
    assert home.ok("resume", "r", "--file", "other.yaml").status == 0
    assert home.lines("done.txt") == ["good", "after"]


def test_a_comment_or_another_plan_of_the_file_is_no_change(home: Home) -> None:
    paused(home)
    text = home.file("hocket.yaml").read_text()
    home.file("hocket.yaml").write_text(
        f'# a comment\n{text}\n  other:\n    steps: {{x: {{command: ["true"]}}}}\n'
    )
    home.hocket("approve", "r", "--yes")
    assert home.ok("resume", "r").status == 0
