"""The scorers of `trueward evaluate`, by the names of the command line."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from trueward import artifacts
from trueward.models import loading
from trueward.models.run_paths import is_model, model_path
from trueward.pipeline.answers import exact_sampler
from trueward.pipeline.program_reward import read_scale
from trueward.pipeline.records import ANSWERS, read_completions
from trueward.pipeline.relabel import refitted_proxy
from trueward.pipeline.run_home import RunHome
from trueward.pipeline.scorer_factory import ScorerFactory
from trueward.scorers import ensemble, scorer_spec, simulated
from trueward.scorers.scorer import Scale, Scorer, fit_scale
from trueward.training.env import Env


def named_scorer(text: str, home: RunHome | None, device: torch.device) -> tuple[Scorer, Scale]:
    """The scorer of a name and the scale it is reported on: that of the run's SFT policy where there is one.

    home: the run that the name is of; None: it is of none. `ValueError` in one line for a name that can't be used.
    """
    alone = Scale(0.0, 1.0)
    env = Env(device, calls=home.recipe.runtime.judge) if home else Env(device)
    spec = scorer_spec.parse(text)
    name, where = spec.name, f"--scorer {text}"
    factory = ScorerFactory.of(home.recipe, env, home.columns) if home else ScorerFactory(env)
    if ":" in name or name == "judge":  # on its own scale: for a verifier, the share of right answers
        has_own = bool(spec.options) or name == "judge" or home is None
        return factory.specified(spec, where) if has_own else factory.truth(name), alone
    if spec.options:
        raise ValueError(f"{where}: {name} is set up by its run, and takes no options")
    if home is None:
        raise ValueError(
            f"--scorer {name}: known by this name to a run alone; expected model:DIRECTORY, verifier:NAME or module:function"
        )
    if name == "proxy" and home.recipe.reward.kind != "reward_model":
        if not artifacts.load(home.run / "reward"):
            raise ValueError(f"--scorer proxy: {home.run} has no reward yet")
        run, seed = home.run, home.recipe.seed
        sample = exact_sampler(home.recipe.sampler, env)
        sft = partial(loading.causal, model_path(str(run / "sft")), seed, device)
        return factory.normalized_program(read_scale(run / "reward"), sft, sample), alone
    if name == "proxy":
        folder = home.run / "reward_model"
        if not is_model(folder / "model"):
            raise ValueError(f"--scorer proxy: {home.run} has no reward model yet")
        return refitted_proxy(home.run / "policy", env) or ensemble.load(folder, device), alone
    try:
        scorer = simulated.load(home.run / "prepare" / "annotators", name)
    except ValueError as error:
        raise ValueError(
            f"--scorer {name}: {error}; or proxy, model:DIRECTORY, verifier:NAME or module:function"
        ) from None
    answers = read_completions(home.run / "sft" / ANSWERS)
    own = np.array([v.score for v in scorer(answers)]).reshape(-1, 2)
    return scorer, fit_scale(own, f"--scorer {name}")
