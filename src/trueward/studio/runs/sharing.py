"""Which runs may stand on one axis: those whose figure is the same measure. Others get their own, and the reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trueward.evaluation import frontier
from trueward.evaluation.frontier import FrontierRun
from trueward.studio.runs import files
from trueward.studio.runs.contents import Contents

Apart = Callable[[FrontierRun, FrontierRun], str]
START, TRUTH, PROXY = frontier.starts_apart, frontier.truths_apart, frontier.proxies_apart
BY_TRUTH = ("truth", "win_rate", "proxy_truth_correlation")
BY_PROXY = ("proxy", "outlier_share", "length_correlation", "objective/scores", "objective/rlhf_reward")
BY_START = ("kl", "sft_nll", "objective/kl", "objective/non_score_reward")
DISTANCES = ("kl", "root_kl")


def settled(name: str, contents: Contents) -> FrontierRun:
    """A run by its recipe and the digests of its stages, finished or not. `ValueError` if its recipe can't be read."""
    recipe, stages = contents.recipe(), contents.stages()
    sections = (*frontier.START, *frontier.JUDGE, "policy", "evaluation")
    if missing := next((section for section in sections if not isinstance(recipe.get(section), dict)), ""):
        raise ValueError(f"{name}: {contents.damage() or f'recipe.toml has no section {missing}'}")
    digests = {str(row.get("name")): str(row.get("digest")) for row in stages}
    return FrontierRun(name, {"recipe": recipe, "seed": int(files.number(recipe, "seed") or 0)}, digests)


def needs(metric: str, x: str) -> list[Apart]:
    """What has to be the same for runs to share the axes of a figure, "stage/name", against `x`."""
    key = metric.partition("/")[2]
    if key == "kl_coef" or key.startswith("objective/kl_coef"):
        of_figure: list[Apart] = []
    elif key.startswith(BY_TRUTH):
        of_figure = [START, TRUTH]
    elif key.startswith(BY_PROXY):
        of_figure = [START, PROXY]
    elif key.startswith(BY_START):
        of_figure = [START]
    else:
        of_figure = []
    return [START, *(apart for apart in of_figure if apart is not START)] if x in DISTANCES else of_figure


def panels(runs: Sequence[FrontierRun], apart: Sequence[Apart]) -> list[tuple[list[FrontierRun], str]]:
    """The runs by the axes that they share, each with why it is not the first one's."""
    made: list[tuple[list[FrontierRun], str]] = []
    for run in runs:
        for together, _ in made:
            if not _reasons(together[0], run, apart):
                together.append(run)
                break
        else:
            why = f"{made[0][0][0].name} and {run.name}: {_reasons(made[0][0][0], run, apart)}" if made else ""
            made.append(([run], why))
    return made


def _reasons(one: FrontierRun, other: FrontierRun, apart: Sequence[Apart]) -> str:
    return "; ".join(reason for each in apart if (reason := each(one, other)))
