"""Models that were named on the command line: what a name means, and what is said of one that means nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from trueward.models.run_paths import model_path


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with two runs, of which one has a policy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("reviews", "tiny,policy.kl_coef=0"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "pipeline.json").write_text("[]")
    for stage in ("sft", "policy"):
        (tmp_path / "runs" / "reviews" / stage / "model").mkdir(parents=True)
        (tmp_path / "runs" / "reviews" / stage / "model" / "config.json").write_text("{}")
    return tmp_path / "runs"


def test_a_run_is_its_policy_and_a_stage_its_model() -> None:
    assert model_path("reviews") == "runs/reviews/policy/model"
    assert model_path("reviews/sft") == "runs/reviews/sft/model"


@pytest.mark.parametrize("name", ["trueward:base", "owner/name", "HuggingFaceTB/SmolLM2-135M"])
def test_other_names_are_left_to_who_loads_them(name: str) -> None:
    assert model_path(name) == name


def test_an_old_name_of_the_hubs_that_was_fetched_before(tmp_path: Path) -> None:
    (tmp_path / "hub" / "models--gpt2").mkdir(parents=True)
    assert model_path("gpt2") == "gpt2"


@pytest.mark.parametrize(
    ("name", "near"),
    [("nosuch", ""), ("review", "; near are reviews"), ("tiny/sft", "; near are tiny,policy.kl_coef=0")],
)
def test_no_such_run_is_said_with_near_names(name: str, near: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        model_path(name)
    assert str(caught.value) == (
        f"{name}: there is no such run (neither a run's directory nor a name under runs/){near}, and no such model "
        "(a directory, trueward:NAME, or owner/name on the hub)"
    )
