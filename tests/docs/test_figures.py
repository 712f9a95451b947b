"""Every measured table and picture of the docs has a command that makes it, and says of which commit it is."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from figures import __main__ as command  # noqa: E402
from figures import history, pages, registry  # noqa: E402
from figures.pages import Made  # noqa: E402

FIGURES = registry.read()
BY_HAND = {
    "log.md",
    "judge.md",
    "smollm2.md",
}  # the log tells of an experiment once; the others name the run that they show


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_a_figure_has_all_that_it_names(figure: registry.Figure) -> None:
    assert figure.name in pages.made(text(figure.page))
    for words in figure.commands():
        assert words[0] == "-m" or (ROOT / words[0]).is_file()
    for path in figure.shows:
        assert path == "-m" or (ROOT / path).exists(), path
    for image in figure.images:
        assert list((ROOT / "docs/images").glob(image))
    if figure.heading:
        assert figure.heading in text(figure.page).splitlines()


def test_what_a_page_says_of_a_figure_is_in_the_registry() -> None:
    found = {(name, page) for page in sorted(ROOT.glob("docs/**/*.md")) for name in pages.made(page.read_text("utf-8"))}
    assert {name for name, _ in found} | set(pages.made(text("README.md"))) == {figure.name for figure in FIGURES}
    comments = sum(
        page.read_text("utf-8").count("<!-- figure: ") for page in [*ROOT.glob("docs/**/*.md"), ROOT / "README.md"]
    )
    assert comments == len(FIGURES)  # no line that the pattern doesn't read


def test_every_picture_is_made_by_a_command() -> None:
    patterns = [image for figure in FIGURES for image in figure.images]
    orphans = [p.name for p in (ROOT / "docs/images").iterdir() if not any(p.match(pattern) for pattern in patterns)]
    assert orphans == []


def test_every_table_with_intervals_stands_on_a_page_that_says_who_made_it() -> None:
    measured = re.compile(r"^\|.*\d ± \d.*\|$", re.MULTILINE)
    named = {figure.page for figure in FIGURES}
    bare = [
        p.name
        for p in ROOT.glob("docs/*.md")
        if measured.search(p.read_text("utf-8")) and f"docs/{p.name}" not in named
    ]
    assert set(bare) <= BY_HAND


def test_which_are_older_than_what_they_show() -> None:
    """An old figure is no fault; an unknown age is, and which are old is printed among the reasons of what was skipped."""
    if history.git("rev-parse", "--is-shallow-repository") == "true":
        pytest.skip("the clone is shallow: it doesn't hold the commits that figures are of")
    ages = list(command.ages())
    assert [figure.name for figure, _, count in ages if count is None] == []
    if old := [f"{figure.name} ({count} commits)" for figure, _, count in ages if count]:
        pytest.skip(f"older than what they show: {', '.join(old)}; `make figures ARGS=--older` makes them anew")


PAGE = """# A

| x | y |
|---|---|
| 1 | 2 |

<!-- figure: one -->
`make figures ONLY=one` makes this anew; what stands here is of commit abcdef0, 2026-01-31.

## B

| x | y |
|---|---|
| 3 | 4 |
| 5 | 6 |

after
"""


def test_a_printed_table_takes_the_place_of_the_one_with_its_head() -> None:
    printed = "some words\n| x | y |\n|---|---|\n| 7 | 8 |\n| 9 | 0 |\n\n| z |\n|---|\n| 1 |\n"
    page, missing = pages.spliced(PAGE, printed)
    assert page == PAGE.replace("| 1 | 2 |\n", "| 7 | 8 |\n| 9 | 0 |\n")
    assert missing == ["| z |"]
    page, _ = pages.spliced(PAGE, printed, "## B")
    assert page == PAGE.replace("| 3 | 4 |\n| 5 | 6 |\n", "| 7 | 8 |\n| 9 | 0 |\n")
    with pytest.raises(ValueError, match="no heading '## C'"):
        pages.spliced(PAGE, printed, "## C")


def test_the_commit_is_written_into_the_line() -> None:
    assert pages.made(PAGE) == {"one": Made("abcdef0", "2026-01-31")}
    page = pages.stamped(PAGE, "one", Made("1234567", "2026-02-01"))
    assert pages.made(page) == {"one": Made("1234567", "2026-02-01")}
    assert page.replace("1234567, 2026-02-01", "abcdef0, 2026-01-31") == PAGE
    with pytest.raises(ValueError, match="no line for the figure two"):
        pages.stamped(PAGE, "two", Made("1234567", "2026-02-01"))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a figure whose script counts its own runs in what it keeps."""
    script = "import sys; open(sys.argv[1], 'a').write('row\\n'); print('| x | y |\\n|---|---|\\n| 7 | 8 |')"
    files = {"shown.py": "1", "script.py": script, "page.md": PAGE, ".gitignore": "build/\n", "registry.toml": REGISTRY}
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setattr(registry, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(command, "PRINTED", tmp_path / "build")
    monkeypatch.setattr(registry.read, "__defaults__", (tmp_path / "registry.toml",))
    for function in (history.git, history.is_known, history.since, history.changed, history.head):
        where = {"root": tmp_path} if function is history.git else None
        if where:
            monkeypatch.setattr(function, "__kwdefaults__", where)
        else:
            monkeypatch.setattr(function, "__defaults__", (tmp_path,))
    history.git("init", "-q")
    commit("one")
    return tmp_path


REGISTRY = """[groups]
shown = ["shown.py"]
[figure.one]
page = "page.md"
command = ["script.py", "{kept}.jsonl"]
hours = 0.1
shows = ["shown"]
"""


def commit(message: str) -> None:
    history.git("add", "-A")
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    history.git(*who, "commit", "-q", "-m", message)


def test_a_figure_is_made_and_says_of_which_commit(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: object
) -> None:
    monkeypatch.setattr(sys, "argv", ["figures"])
    assert command.main() == 0
    page = (repository / "page.md").read_text()
    assert "| 7 | 8 |" in page
    assert "| 1 | 2 |" not in page
    first = history.head()
    assert pages.made(page)["one"] == first
    assert [count for *_, count in command.ages()] == [0]

    (repository / "shown.py").write_text("2")
    assert command.main() == 2  # no commit can stand for it
    commit("two")
    assert [count for *_, count in command.ages()] == [1]
    assert command.main() == 2  # rows of another commit aren't mixed
    assert (repository / "kept/one.jsonl").read_text() == "row\n"
    monkeypatch.setattr(sys, "argv", ["figures", "--anew", "--older"])
    assert command.main() == 0
    assert (repository / "kept/one.jsonl").read_text() == "row\n"  # the old one is gone
    assert pages.made((repository / "page.md").read_text())["one"] == history.head() != first


def test_what_is_kept_goes_on_with_the_commit_that_it_began_with(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["figures", "--only", "one"])
    assert command.main() == 0
    first = history.head()
    commit("rows and a page, nothing that is shown")
    assert command.main() == 0
    assert (repository / "kept/one.jsonl").read_text() == "row\nrow\n"
    assert pages.made((repository / "page.md").read_text())["one"] == first


def test_begun_anew_the_runs_beside_the_rows_go_too(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["figures", "--anew"])
    text = (repository / "registry.toml").read_text().replace('"{kept}.jsonl"]', '"{kept}.jsonl", "--out", "{kept}"]')
    (repository / "registry.toml").write_text(text)
    (figure,) = registry.read()
    assert [path.name for path in figure.kept] == ["one.jsonl", "one"]
    swapped = dataclasses.replace(figure, command=("script.py", "--out", "{kept}", "--rows", "{kept}.jsonl"))
    assert swapped.kept == figure.kept
    commit("runs beside rows")
    (repository / "kept/one/run").mkdir(parents=True)
    (repository / "kept/one.jsonl").write_text("old\n")
    assert command.main() == 0
    assert (repository / "kept/one.jsonl").read_text() == "row\n"
    assert not (repository / "kept/one").exists()


def test_a_command_that_fails_leaves_the_page(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "script.py").write_text("print('| x | y |\\n|---|---|\\n| 7 | 8 |'); raise SystemExit(3)")
    commit("a script that fails")
    monkeypatch.setattr(sys, "argv", ["figures"])
    assert command.main() == 2
    assert (repository / "page.md").read_text() == PAGE


def test_a_name_that_is_none(repository: Path) -> None:
    assert repository
    with pytest.raises(ValueError, match="there is no figure two; there are one"):
        registry.named("two")
    done = subprocess.run(["make", "-n", "figures"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "-m figures" in done.stdout
