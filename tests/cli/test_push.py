"""`trueward push` against a stand-in of the hub (conftest.py): what arrives there, and what goes wrong in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# huggingface_hub sends a commit as its HTTP library no longer likes it; it is not ours to mend
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")

Command = Callable[..., tuple[int, str, str]]
FILES = {
    "README.md", "config.json", "generation_config.json", "model.safetensors", "recipe.toml", "tokenizer.json",
    "tokenizer_config.json",
}  # fmt: skip


def front(text: str) -> dict[str, Any]:
    import yaml

    fields: dict[str, Any] = yaml.safe_load(text.split("---")[1])
    return fields


def test_a_model_arrives_whole(command: Command, baseline: Path, hub: Any, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    code, out, err = command("push", str(baseline), "me/reviewer", "--private", "--model", "best")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"{hub.address}/me/reviewer"
    assert "licence: unknown, since it was trained from random weights" in out
    assert hub.created == [{"name": "reviewer", "organization": "me", "visibility": "private"}]
    assert set(hub.repos["me/reviewer"]) == FILES
    place = hub.save("me/reviewer", tmp_path / "downloaded")
    arrived = AutoModelForCausalLM.from_pretrained(place).state_dict()
    written = AutoModelForCausalLM.from_pretrained(baseline / "policy/best").state_dict()
    assert all(torch.equal(arrived[name], written[name]) for name in written)
    assert len(AutoTokenizer.from_pretrained(place)) > 4
    text = (place / "README.md").read_text(encoding="utf-8")
    assert front(text)["library_name"] == "transformers"
    assert 'from_pretrained("me/reviewer")' in text
    assert (place / "recipe.toml").read_text(encoding="utf-8") == (baseline / "recipe.toml").read_text(encoding="utf-8")
    assert not list(baseline.glob(".push*"))
    assert not (baseline / "hub").exists()


def test_a_recipe_that_arrived_is_one(command: Command, baseline: Path, hub: Any, tmp_path: Path) -> None:
    from trueward import config

    assert command("push", str(baseline), "me/reviewer", "--dtype=bfloat16")[0] == 0
    assert hub.created == [{"name": "reviewer", "organization": "me"}]  # as the hub's own default has it
    place = hub.save("me/reviewer", tmp_path / "downloaded")
    assert config.read(str(place / "recipe.toml")).toml() == (baseline / "recipe.toml").read_text(encoding="utf-8")
    assert json.loads((place / "config.json").read_text())["dtype"] == "bfloat16"


def test_a_dry_run_uploads_nothing(
    command: Command, baseline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    code, out, err = command("push", str(baseline), "me/x", "--dry-run", "--out", "card", "--license", "mit")
    assert (code, err) == (0, "")
    assert out == "licence: mit, as whoever published it chose\ncard (a dry run: nothing was uploaded)\n"
    assert {p.name for p in (tmp_path / "card").iterdir()} == FILES
    assert front((tmp_path / "card/README.md").read_text())["license"] == "mit"
    again = command("push", str(baseline), "me/x", "--dry-run", "--out", "card")
    assert again[0] == 2
    assert "card: is there already and not empty" in again[2]


def test_a_repository_that_is_there_is_not_overwritten(command: Command, baseline: Path, hub: Any) -> None:
    hub.repos["me/reviewer"] = {"notes.md": b"mine"}
    code, out, err = command("push", str(baseline), "me/reviewer")
    line = "trueward: me/reviewer: there is such a repository already; take another name, or --update it\n"
    assert (code, out, err) == (2, "", line)
    assert hub.repos["me/reviewer"] == {"notes.md": b"mine"}
    assert command("push", str(baseline), "me/reviewer", "--update")[0] == 0
    assert set(hub.repos["me/reviewer"]) == {*FILES, "notes.md"}


@pytest.mark.parametrize("name", ["reviewer", "me/re/viewer", "me/re viewer", "../x", "me/-x", "me/x.git", ""])
def test_a_wrong_name_is_one_line(command: Command, baseline: Path, hub: Any, name: str) -> None:
    code, out, err = command("push", str(baseline), name)
    assert (code, out) == (2, "")
    assert err.startswith(f"trueward: {name}: expected owner/name" if name else "trueward: : expected owner/name")
    assert err.count("\n") == 1
    assert not hub.repos


def test_what_goes_wrong_at_the_hub_is_one_line(
    command: Command, baseline: Path, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(expected: str) -> None:
        code, _, err = command("push", str(baseline), "me/reviewer")
        assert code == 2
        assert expected in err
        assert err.count("\n") == 1
        assert err.startswith("trueward: ")

    hub.forbidden = "repos/create"
    fails("me/reviewer: this token may not write there: Forbidden: you need write access")
    hub.forbidden = "preupload"
    fails("may not write there: Forbidden: you need write access; the repository is there, --update goes on with it")
    hub.forbidden = ""
    hub.repos.clear()
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    fails("me/reviewer: the hub does not know this token (HF_TOKEN, or `hf auth login`): Invalid credentials")
    monkeypatch.delenv("HF_TOKEN")
    fails("push: there is no token for the hub; set HF_TOKEN, or log in with `hf auth login`")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    fails("me/reviewer: http://127.0.0.1:9 can't be reached or does not answer: ")
    assert not hub.repos
    assert not list(baseline.glob(".push*"))


def test_only_a_measured_run_is_pushed(command: Command, climb: Any, tmp_path: Path, hub: Any) -> None:
    climb(tmp_path, "short", until="prepare")
    run = tmp_path / "short"
    line = f"{run}: has no report yet, and a card without numbers is none; `trueward run` makes one"
    assert command("push", str(run), "me/x") == (2, "", f"trueward: {line}\n")
    assert command("push", "nowhere", "me/x")[0] == 2
    wrong = command("push", str(run), "me/x", "--license", "My Own")
    assert wrong[2].startswith("trueward: --license My Own: expected an identifier as the hub spells it")


def test_the_licence_is_the_base_models(hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trueward.models.hub import base_model

    hub.cards = {"org/base": {"license": "llama3"}, "org/silent": {}}
    model = tmp_path / "base"
    model.mkdir()
    found = base_model({"model": {"base": "org/base"}})
    assert (found.name, found.licence, found.source) == (
        "org/base",
        "llama3",
        "from the card of the base model org/base",
    )
    assert base_model({"model": {"base": "org/silent"}}).licence == "unknown"
    absent = base_model({"model": {"base": "org/absent"}})
    assert (absent.name, absent.licence) == ("org/absent", "unknown")
    assert "could not be read" in absent.source
    assert base_model({"model": {"base": "trueward:smollm2"}}).name == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert base_model({"model": {"base": "trueward:base"}}).licence == "apache-2.0"
    (model / "README.md").write_text("---\nlicense: mit\n---\n# base\n", encoding="utf-8")
    local = base_model({"model": {"base": "org/base"}, "sft": {"model": str(model)}})
    assert (local.name, local.licence) == ("", "mit")
    shutil.rmtree(model)
    model.mkdir()
    assert base_model({"model": {"base": str(model)}}).licence == "unknown"
