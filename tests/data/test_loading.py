"""Demonstrations and prompts from files, folders and data sets, and what is said of the ones that aren't right."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from trueward.data.loading import DEMONSTRATIONS, PROMPTS, demonstrations, prompts
from trueward.extras import install
from trueward.records import Demonstration, Message, Prompt

SYSTEM = {"role": "system", "content": "Be kind."}
USER = {"role": "user", "content": "What colour is the sky?"}
BLUE = {"role": "assistant", "content": "Blue."}
TEXT = {"prompt": "The sky is", "completion": " blue."}
TALK = {"prompt": [USER], "completion": [BLUE]}

SKY = Prompt(text="The sky is")
ASKED = Prompt(messages=(Message(**USER),))
TOLD = Prompt(messages=(Message(**SYSTEM), Message(**USER)))


def save(folder: Path, *rows: Any, name: str = "a.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "prompt", "response"),
    [
        (TEXT, SKY, " blue."),
        (TALK, ASKED, "Blue."),
        ({"messages": [SYSTEM, USER, BLUE]}, TOLD, "Blue."),
        ({"prompt": "beside", "messages": [USER, BLUE]}, ASKED, "Blue."),
        ({"system": "Be kind.", "messages": [USER, BLUE]}, TOLD, "Blue."),
        ({"system": "Be kind.", "prompt": USER["content"], "completion": "Blue."}, TOLD, "Blue."),
        ({"system": "", "instruction": USER["content"], "input": "", "output": "Blue."}, ASKED, "Blue."),
        ({"conversations": [{"from": "human", "value": USER["content"]}, {"from": "gpt", "value": "x"}]}, ASKED, "x"),
    ],
)
def test_demonstrations_are_read_and_count_as_prompts(
    row: dict[str, Any], prompt: Prompt, response: str, tmp_path: Path
) -> None:
    path = save(tmp_path, row)
    loaded = demonstrations("a.jsonl", base=tmp_path)
    assert loaded.rows == [Demonstration(prompt=prompt, response=response)]
    assert loaded.files == [path]
    assert not loaded.left_out
    assert prompts(str(path)).rows == [prompt]


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"prompt": "The sky is"}, SKY),
        ({"prompt": [USER]}, ASKED),
        ({"messages": [SYSTEM, USER]}, TOLD),
        ({"messages": [SYSTEM, USER, BLUE]}, TOLD),
        ({"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}, SKY),
    ],
)
def test_prompts(row: dict[str, Any], prompt: Prompt, tmp_path: Path) -> None:
    assert prompts(str(save(tmp_path, row))).rows == [prompt]


def test_rows_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    rows = [
        TEXT | {"id": 1},
        TEXT | {"id": 2},
        TEXT | {"prompt": " "},
        TEXT | {"completion": ""},
        TEXT | {"completion": " red.", "label": False},
        TEXT | {"completion": " blue, often.", "label": True},
        {"prompt": [USER | {"name": "Ann"}], "completion": [BLUE]},
    ]
    loaded = demonstrations(str(save(tmp_path, *rows)))
    assert [row.response for row in loaded.rows] == [" blue.", " blue, often.", "Blue."]
    assert loaded.left_out == Counter({"repeated": 1, "empty prompt": 1, "empty completion": 1, "label is false": 1})
    assert loaded.ignored == Counter({"id": 2, "label": 1, "message.name": 1})
    assert prompts(str(save(tmp_path, *rows))).left_out == Counter({"repeated": 4, "empty prompt": 1})
    path = save(tmp_path, TEXT | {"prompt": ""}, {"messages": [BLUE]})
    for load in (demonstrations, prompts):
        with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
            load(str(path))
        assert str(error.value) == f"{path}: no row can be used (empty prompt 2)"


ERRORS: dict[str, tuple[Any, str]] = {
    "text": ({"text": "x"}, f'"text": expected a prompt and its answer, got running text; {DEMONSTRATIONS}'),
    "no completion": ({"prompt": "x"}, f'missing field "completion"; {DEMONSTRATIONS}'),
    "no prompt": ({"completion": "x"}, f'missing field "prompt"; {DEMONSTRATIONS}'),
    "other fields": ({"q": 1, "a": 2}, f'missing field "prompt" (its fields: "q", "a"); {DEMONSTRATIONS}'),
    "no fields": ({}, f'missing field "prompt" (its fields: none); {DEMONSTRATIONS}'),
    "number": (TEXT | {"prompt": 1}, '"prompt": expected a string or a list of messages, got a number'),
    "text and messages": (TEXT | {"completion": [BLUE]}, '"completion": expected a string, got a list'),
    "two messages": (
        TALK | {"completion": [BLUE, BLUE]},
        '"completion": expected one message, the assistant\'s, got 2 messages',
    ),
    "messages an object": ({"messages": {}}, '"messages": expected a list of messages, got an object'),
    "message a string": ({"messages": ["x"]}, '"messages[0]": expected a message, got a string'),
    "role": ({"messages": [{"role": 3, "content": ""}]}, '"messages[0].role": expected a string, got a number'),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_file_line_and_field(name: str, tmp_path: Path) -> None:
    row, message = ERRORS[name]
    path = save(tmp_path, TEXT, row)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        demonstrations(str(path))
    assert str(error.value) == f"{path}, line 2: {message}"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "x"}, f'"text": expected a prompt and its answer, got running text; {PROMPTS}'),
        ({"completion": "x"}, f'missing field "prompt"; {PROMPTS}'),
        ({"prompt": {}}, '"prompt": expected a string or a list of messages, got an object'),
    ],
)
def test_errors_in_prompts(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = save(tmp_path, row)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        prompts(str(path))
    assert str(error.value) == f"{path}, line 1: {message}"


SOURCES = {
    "a.jsonl": "{base}/a.jsonl: no such file",
    "data/a.jsonl": "{base}/data/a.jsonl: no such file",
    "data/a.parquet": "{base}/data/a.parquet: no such file",
    "reviews": "{base}/reviews: no such file or folder; a Hugging Face data set is named owner/name",
    "a/b/c": "{base}/a/b/c: no such file or folder; a Hugging Face data set is named owner/name",
    "": "expected a file, a folder or a Hugging Face data set, got an empty name",
    "empty.jsonl": "{base}/empty.jsonl: expected at least one row, got an empty file",
    "broken.json": "{base}/broken.json, line 2: expected a JSON object: Expecting value (column 12)",
    "list.json": "{base}/list.json, row 1: expected a JSON object, got a list",
    "latin.jsonl": "{base}/latin.jsonl, line 1: expected UTF-8, got the byte 0xe9",
    "table.csv": "{base}/table.csv: expected at least one row, got an empty file",
    "table.xml": "{base}/table.xml: expected a .jsonl file, got .xml",
    "README": "{base}/README: expected a .jsonl file, got a file without an ending",
    "folder": "{base}/folder: expected a .jsonl file or a folder that holds a data set, got another folder",
    "folder.jsonl": "{base}/folder.jsonl: expected a .jsonl file or a folder that holds a data set, got another folder",
}


@pytest.mark.parametrize("source", SOURCES)
def test_sources_that_are_not_there_or_not_right(source: str, tmp_path: Path) -> None:
    for name, content in {
        "empty.jsonl": b"",
        "broken.json": b'{"prompt": "x", "completion": "y"}\n{"prompt": ',
        "list.json": b'[[{"prompt": "x"}]]',
        "latin.jsonl": '{"prompt": "é"}'.encode("latin-1"),
        "table.csv": b"prompt\n",
        "table.xml": b"",
        "README": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(ValueError) as error:  # noqa: PT011
        demonstrations(source, base=tmp_path)
    assert str(error.value) == SOURCES[source].format(base=tmp_path)


def test_without_the_package_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    needed = "reading a Hugging Face data set needs the package datasets: " + install("hub")
    save(tmp_path, TEXT)
    for source, name in (("owner/name:test", "owner/name:test"), (".", str(tmp_path))):
        with pytest.raises(ValueError) as error:  # noqa: PT011
            prompts(source, base=tmp_path)
        assert str(error.value) == f"{name}: {needed}"
    assert prompts("a.jsonl", base=tmp_path).rows == [SKY]


def test_torch_transformers_and_datasets_are_not_imported() -> None:
    check = (
        "import sys, trueward.data.loading, trueward.data.comparisons;"
        "sys.exit(bool({'torch', 'transformers', 'datasets'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The real package, without network, with its cache in the test's folder."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setitem(os.environ, name, "1")
    package = pytest.importorskip("datasets")
    monkeypatch.setattr(package.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(package.config, "HF_HUB_OFFLINE", True)
    return package


COLUMNS = {
    "prompt": ["The sky is", "Grass is", "The sky is"],
    "completion": [" blue.", None, " blue."],
    "id": [1, 2, 3],
}


def test_a_data_set_saved_to_disk(datasets: Any, tmp_path: Path) -> None:
    rows = [TALK, TALK | {"completion": [BLUE | {"content": "Sky-blue."}]}]
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    loaded = demonstrations("saved", base=tmp_path)
    assert [(row.prompt, row.response) for row in loaded.rows] == [(ASKED, "Blue."), (ASKED, "Sky-blue.")]
    assert {file.suffix for file in loaded.files} == {".arrow", ".json"}
    with pytest.raises(ValueError) as error:  # noqa: PT011
        demonstrations("saved:test", base=tmp_path)
    assert str(error.value) == f'{tmp_path}/saved: expected no split, as it holds one data set, got "test"'


def test_splits_saved_to_disk(datasets: Any, tmp_path: Path) -> None:
    one, other = datasets.Dataset.from_list([TEXT]), datasets.Dataset.from_list([TALK])
    datasets.DatasetDict({"train": one, "test": other}).save_to_disk(str(tmp_path / "saved"))
    assert prompts("saved", base=tmp_path).rows == [SKY]
    loaded = prompts("saved:test", base=tmp_path)
    assert loaded.rows == [ASKED]
    assert {file.parent for file in loaded.files} == {tmp_path / "saved" / "test"}
    with pytest.raises(ValueError) as error:  # noqa: PT011
        prompts("saved:best", base=tmp_path)
    assert str(error.value) == f'{tmp_path}/saved: expected the split train or test, got "best"'


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_folders_of_files(ending: str, datasets: Any, tmp_path: Path) -> None:
    data = datasets.Dataset.from_dict(COLUMNS)
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / f"train.{ending}"
    data.to_parquet(str(path)) if ending == "parquet" else data.to_json(str(path))
    loaded = prompts("data", base=tmp_path)
    assert loaded.rows == [SKY, Prompt(text="Grass is")]
    assert loaded.left_out == Counter({"repeated": 1})
    assert loaded.ignored == Counter({"id": 3})
    assert loaded.files == [path]
    loaded = demonstrations("data", base=tmp_path)
    assert loaded.left_out == Counter({"empty completion": 1, "repeated": 1})
    with pytest.raises(ValueError, match=r"/data: the data set can't be loaded: .*best"):
        prompts("data:best", base=tmp_path)


def test_a_data_set_written_as_jsonl(datasets: Any, tmp_path: Path) -> None:
    datasets.Dataset.from_list([TALK]).to_json(str(tmp_path / "a.jsonl"))
    assert [row.prompt for row in demonstrations("a.jsonl", base=tmp_path).rows] == [ASKED]


def test_other_columns_only(datasets: Any, tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"q": ["x"], "a": ["y"]}).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(ValueError) as error:  # noqa: PT011
        prompts("saved", base=tmp_path)
    assert str(error.value) == 'saved: expected the column "prompt" or "messages", got q, a'


def test_a_name_on_the_hub(datasets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    requested = []

    def load_dataset(name: str, *, split: str) -> Any:
        requested.append((name, split))
        return datasets.Dataset.from_list([TEXT])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert prompts("owner/name").rows == prompts("owner/name:test").rows == [SKY]
    assert requested == [("owner/name", "train"), ("owner/name", "test")]


def test_a_configuration_on_the_hub(datasets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`owner/name` has the configurations main and test; main has the splits train and held."""
    requested: list[tuple[str, ...]] = []

    def load_dataset(name: str, *config: str, split: str) -> Any:
        requested.append((name, *config, split))
        if not config:
            raise ValueError("Config name is missing.\nPlease pick one among: ['main', 'test']")
        if split not in ("train", "held"):
            raise ValueError(f'Unknown split "{split}".')
        return datasets.Dataset.from_list([TEXT])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda name: ["main", "test"])
    assert prompts("owner/name:main").rows == prompts("owner/name:main:held").rows == [SKY]
    assert requested == [("owner/name", "main"), ("owner/name", "main", "train"), ("owner/name", "main", "held")]
    for source, error in (
        ("owner/name", "owner/name: the data set can't be loaded: Config name is missing."),
        ("owner/name:else", "owner/name:else: the data set can't be loaded: Config name is missing."),
        ("owner/name:main:none", 'owner/name:main:none: the data set can\'t be loaded: Unknown split "none".'),
        ("owner/name:main:held:more", "no such file or folder; a Hugging Face data set is named owner/name"),
    ):
        with pytest.raises(ValueError, match=re.escape(error)):
            prompts(source)


def test_an_array_in_a_json_file(tmp_path: Path) -> None:
    """Wherever JSONL is read: prompts and demonstrations here, comparisons below."""
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": "d"}], indent=2))
    assert [d.response for d in demonstrations(str(path)).rows] == ["b", "d"]
    assert [p.text for p in prompts(str(path)).rows] == ["a", "c"]
    path.write_text(json.dumps([{"prompt": "a", "completion": "b"}, {"prompt": "c"}]))
    with pytest.raises(ValueError, match=r"rows\.json, row 2: missing field"):
        demonstrations(str(path))


def test_a_name_that_cannot_be_reached(datasets: Any) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        prompts("trueward/there-is-no-such-data-set")
    message = str(error.value)
    assert message.startswith("trueward/there-is-no-such-data-set: the data set can't be loaded: ")
    assert message.endswith("; nor is there such a file or folder")
    assert "\n" not in message
