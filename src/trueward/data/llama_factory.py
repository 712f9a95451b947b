"""LLaMA-Factory's `dataset_info.json`: which file a data set is in, and which of its columns and roles are what.

A source is the file's path, with `:NAME` behind it where several data sets are in it. Rows become conversations, as
LLaMA-Factory makes them: with `ranking` a prompt, `chosen` and `rejected`; with `kto_tag` an answer judged alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueward.data import cells, hub, tables
from trueward.data.layouts.layout import made, turn
from trueward.data.rows import Row
from trueward.records import ASSISTANT

NAME = "dataset_info.json"
ALPACA = {"prompt": "instruction", "query": "input", "response": "output", "history": "history"}
SHAREGPT = {"messages": "conversations"}
TAGS = {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt", "system_tag": "system"}
OTHER_TAGS = {"observation_tag": ("observation", "tool"), "function_tag": ("function_call", "function_call")}
REFUSED = {
    "script_url": "a program that makes the data, which is not run",
    "ms_hub_url": "a data set of ModelScope, which is not read",
    "om_hub_url": "a data set of another hub, which is not read",
    "cloud_file_name": "a file in the cloud, which is not fetched",
    "num_samples": "a random part of the data, which is not drawn here; leave it away",
}


def is_one(source: str | Path) -> bool:
    """Whether a source is such a file, or a data set in it."""
    return Path(_split(str(source))[0]).name == NAME


def rows(source: str | Path) -> tuple[Iterator[Row], list[Path]]:
    """The data set's rows in trueward's forms, and the files. `ValueError` names the file, and what is wrong in it."""
    entry, where = _entry(str(source))
    layout = _Layout.of(entry, where)
    if entry.get("hf_hub_url") and not entry.get("file_name"):
        parts = [str(entry[key]) for key in ("hf_hub_url", "subset", "split") if entry.get(key)]
        read, hub_files = hub.rows(":".join(parts))
        return map(layout.row, read), [Path(_split(str(source))[0]), *hub_files]
    file = _file(entry, where, Path(_split(str(source))[0]).parent)
    return map(layout.row, tables.rows(file)), [Path(_split(str(source))[0]), file]


def files(source: str | Path) -> list[Path]:
    """The files that such a source is read from; any other source as it is."""
    return rows(source)[1] if is_one(source) else [Path(source)]


def _split(source: str) -> tuple[str, str]:
    path, colon, name = source.rpartition(":")
    return (path, name) if colon and Path(path).name == NAME else (source, "")


def _entry(source: str) -> tuple[dict[str, Any], str]:
    path, name = _split(source)
    try:
        content = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected LLaMA-Factory's table of data sets as JSON: {error}") from None
    if not isinstance(content, dict) or not content or not all(isinstance(v, dict) for v in content.values()):
        raise ValueError(f"{path}: expected LLaMA-Factory's table of data sets, an object of objects by name")
    known = ", ".join(content)
    if not name and len(content) > 1:
        raise ValueError(f"{path}: holds several data sets ({known}); say which one: {path}:{next(iter(content))}")
    if name and name not in content:
        raise ValueError(f"{path}: has no data set {name!r}; there are {known}")
    name = name or next(iter(content))
    return content[name], f"{path}, {name}"


def _file(entry: Mapping[str, Any], where: str, folder: Path) -> Path:
    for key, what in REFUSED.items():
        if entry.get(key) is not None and not entry.get("file_name"):
            raise ValueError(f"{where}: {key} names {what}")
    if entry.get("num_samples") is not None:
        raise ValueError(f"{where}: num_samples asks for {REFUSED['num_samples']}")
    name = entry.get("file_name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"{where}: expected file_name or hf_hub_url")
    file = folder / name
    if not file.exists():
        raise ValueError(f"{where}: file_name: {file}: no such file")
    if file.is_dir():
        raise ValueError(f"{where}: file_name: {file}: expected a file, got a folder")
    return file


@dataclass(frozen=True)
class _Layout:
    """What a data set's columns and roles are. columns: LLaMA-Factory's name for one, and the file's."""

    where: str
    columns: Mapping[str, str]
    tags: Mapping[str, str]
    is_ranking: bool

    @classmethod
    def of(cls, entry: Mapping[str, Any], where: str) -> _Layout:
        """The one of an entry, with LLaMA-Factory's defaults."""
        formatting = entry.get("formatting", "alpaca")
        if formatting not in ("alpaca", "sharegpt", "openai"):
            raise ValueError(f'{where}: formatting: expected alpaca, sharegpt or openai, got "{formatting}"')
        given, tags = entry.get("columns") or {}, entry.get("tags") or {}
        if not isinstance(given, dict) or not isinstance(tags, dict):
            raise ValueError(f"{where}: columns and tags: expected objects")
        columns: dict[str, str] = given or (ALPACA if formatting == "alpaca" else SHAREGPT)
        if formatting != "alpaca":
            columns = {**SHAREGPT, **columns}
        return cls(where, columns, {**TAGS, **tags}, bool(entry.get("ranking")))

    def value(self, row: Row, name: str) -> Any:
        """The row's value in a column that is LLaMA-Factory's `name`; None without one."""
        return row.values.get(self.columns[name]) if name in self.columns else None

    def row(self, row: Row) -> Row:
        """The row in one of trueward's forms."""
        self._refuse(row)
        answer: Any = None
        if "messages" in self.columns:
            asked = self._turns(row, self.value(row, "messages"))
            if not self.is_ranking and asked and asked[-1]["role"] == ASSISTANT:
                answer = asked.pop()["content"]
        else:
            asked, answer = self._instructed(row), self.value(row, "response")
        if text := self.value(row, "system"):
            asked = [turn("system", text), *asked]
        return made(row, {"prompt": asked or None, **self._answers(row, answer)}, self.columns.values())

    def _answers(self, row: Row, answer: Any) -> dict[str, Any]:
        if not self.is_ranking:
            label = self.value(row, "kto_tag")
            return {"completion": _said(answer)} | ({} if label is None else {"label": label})
        sides = [self.value(row, name) for name in ("chosen", "rejected")]
        if "chosen" not in self.columns and isinstance(answer, list) and len(answer) == 2:
            sides = answer  # of its older versions: the better one first
        return {name: _said(self._text(row, side)) for name, side in zip(("chosen", "rejected"), sides, strict=True)}

    def _instructed(self, row: Row) -> list[dict[str, Any]]:
        """Earlier turns, then the instruction with its input below it."""
        history = self.value(row, "history") or []
        if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
            raise row.error("expected pairs of texts, the user's and the assistant's", self.columns["history"])
        turns = [turn(role, text) for pair in history for role, text in zip(("user", ASSISTANT), pair, strict=True)]
        parts = [self.value(row, name) for name in ("prompt", "query")]
        text = "\n".join(part for part in parts if isinstance(part, str) and part)
        return [*turns, turn("user", text)] if text.strip() else turns

    def _turns(self, row: Row, messages: Any) -> list[dict[str, Any]]:
        name = self.columns["messages"]
        if messages is None:
            return []
        if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
            raise row.error("expected a list of messages", name)
        return [turn(self._role(row, m), self._text(row, m)) for m in messages]

    def _role(self, row: Row, message: Mapping[str, Any]) -> str:
        roles = {
            self.tags["user_tag"]: "user",
            self.tags["assistant_tag"]: ASSISTANT,
            self.tags["system_tag"]: "system",
        }
        roles |= {self.tags.get(tag, usual): role for tag, (usual, role) in OTHER_TAGS.items()}
        said = message.get(self.tags["role_tag"])
        if said not in roles:
            raise row.error(
                f"expected a message by {', '.join(roles)}, got {said!r}; the tags of {self.where} say who speaks",
                self.columns["messages"],
            )
        return roles[said]

    def _text(self, row: Row, value: Any) -> Any:
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if not isinstance(value, dict):
            return value
        key = self.tags["content_tag"]
        if key not in value:
            raise row.error(
                f'expected a message with "{key}", as the tags of {self.where} say', self.columns.get("chosen", "")
            )
        return value[key]

    def _refuse(self, row: Row) -> None:
        missing = [column for column in self.columns.values() if not row.column(column)]
        optional = {
            self.columns.get(name) for name in ("query", "history", "system", "tools", "images", "videos", "audios")
        }
        if needed := [column for column in missing if column not in optional]:
            raise row.error(f"missing field, which {self.where} names", needed[0])


def _said(text: Any) -> Any:
    """A text as the assistant's message; None where there's none."""
    return None if cells.is_empty(text) else [turn(ASSISTANT, text)] if isinstance(text, str) and text else text or None
