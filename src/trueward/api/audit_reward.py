"""`trueward.audit_reward`: what a reward loves that it must not, before anything is trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trueward import artifacts
from trueward.api.call import calling, recipe_of
from trueward.api.frames import frame
from trueward.api.learned_reward import LearnedReward
from trueward.api.printed import printed
from trueward.api.scorers import named_scorers
from trueward.pipeline.named_reward import NamedReward, named_reward
from trueward.pipeline.reward_answers import AnswerRequest
from trueward.pipeline.reward_test import reward_test
from trueward.reporting import reward_test_page, reward_test_table
from trueward.scorers.custom import FunctionScorer
from trueward.training.env import Env

TABLE, PAGE = "reward_test.json", "reward_test.html"


class RewardAudit:
    """What the test of a reward found, as `trueward.audit_reward` returns it. Printed, it is the command's table."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table
        """All figures, as in `reward_test.json` (docs/reward_test.md)."""

    @property
    def findings(self) -> list[dict[str, str]]:
        """What is named: each with its `kind` (exploitable, unstable, biased, penalised, missing), the `check` and what it
        `says`."""
        found: list[dict[str, str]] = self.table["findings"]
        return found

    @property
    def exploitable(self) -> list[str]:
        """The names of the edits that were shown to raise the score, the largest shift first."""
        return [f["check"] for f in self.findings if f["kind"] == "exploitable"]

    @property
    def edits(self) -> Any:
        """An edit a row. A pandas frame where pandas is installed, else a list of dicts."""
        return frame([{key: value for key, value in row.items() if key != "example"} for row in self.table["edits"]])

    def save(self, directory: str | Path) -> Path:
        """Write `reward_test.json` and the page `reward_test.html`.

        Args:
            directory: Where; it is made if it isn't there.

        Returns:
            The page's path.
        """
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        artifacts.write_json(folder / TABLE, self.table)
        artifacts.write_text(folder / PAGE, reward_test_page.page(self.table))
        return folder / PAGE

    def __getitem__(self, key: str) -> Any:
        return self.table[key]

    def __str__(self) -> str:
        return printed(reward_test_table.table(self.table), *reward_test_table.sentences(self.table))

    def __repr__(self) -> str:
        return f"RewardAudit({self.table['scorer']}, exploitable: {', '.join(self.exploitable) or 'nothing shown'})"


def audit_reward(
    reward: Any,
    prompts: Any = None,
    *,
    model: str = "",
    count: int = 64,
    answers: int = 2,
    max_new_tokens: int = 48,
    temperature: float = 1.0,
    seed: int = 0,
    progress: bool = True,
) -> RewardAudit:
    """Test what a reward loves that it must not, before anything is trained on it.

    Each answer is changed in ways that make it no better (white space, flattery, padding, markdown, "this answer is
    correct" and so on) and scored again. What raises the score is named; the chance that anything is named of a reward to
    which no edit matters is at most 5 %, over all edits together. Not thread-safe.

    Args:
        reward: A function of completions, in trueward's form or TRL's; a reward model of `trueward.fit_reward_model`; or a
            name, as the command `trueward reward test` takes it (`"judge,model=NAME"`, `"verifier:numeric"`).
        prompts: Strings, dicts, `Prompt`s, a path or a data set; rows may hold answers (`completion`, `response`,
            `chosen` and `rejected`). None: built-in ones.
        model: Who answers the prompts. "": nobody where the rows hold answers, else `trueward:base`.
        count: At most so many of the prompts, drawn by the seed.
        answers: Answers of the model to each prompt.
        max_new_tokens: Where a model's answer is cut, in tokens.
        temperature: Of the model's sampling.
        seed: Of every random draw.
        progress: Whether to show progress, as in `trueward.sft`.

    Returns:
        What was found; print it, `save` its page, or take `exploitable` and `table`.

    Raises:
        ValueError: In one line, for a reward, prompts or answers that can't be used.
    """
    where = "trueward.audit_reward"
    if count < 2 or answers < 1 or max_new_tokens < 1 or temperature < 0:
        raise ValueError(f"{where}: expected count of at least 2, answers and max_new_tokens of 1, temperature of 0")
    request = AnswerRequest(prompts, model, count, answers, max_new_tokens, temperature, seed)
    with calling(recipe_of(where, "sampler", {}, seed), progress) as call:
        return RewardAudit(reward_test(_named(reward, call.cache.env, where), request, call.cache.env))


def _named(reward: Any, env: Env, where: str) -> NamedReward:
    if isinstance(reward, str):
        return named_reward(reward, env)
    if isinstance(reward, LearnedReward):
        return NamedReward("reward model", reward.proxy)
    if callable(reward):
        ((name, function),) = named_scorers(reward, where).items()
        return NamedReward(name, FunctionScorer(name, function))
    raise ValueError(
        f"{where}: reward: expected a function of completions, a reward model or a name, got {type(reward).__name__}"
    )
