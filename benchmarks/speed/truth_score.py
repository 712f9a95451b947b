"""Truth and KL of the weights that were kept, on held-out prompts that neither side saw: one line each, as they are done."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from speed import meter
from speed.finished import eval_setup
from trueward import config
from trueward.models.derived import trainable
from trueward.pipeline.process import process_settings
from trueward.pipeline.surroundings import run_env
from trueward.progress import Progress


def main() -> None:
    asked = meter.job()
    run, keep, scores = Path(asked["run"]), Path(asked["keep"]), Path(asked["scores"])
    recipe = config.read(str(run / "recipe.toml"), [f"runtime.threads={asked['threads']}"])
    done = {row["step"] for row in meter.read_rows(scores)} if scores.is_file() else set()
    with process_settings(recipe), scores.open("a", encoding="utf-8") as file:
        setup = eval_setup(run, recipe, run_env(recipe, Progress(), tracked=False))
        policy = trainable(setup.sft.policy, recipe.lora if recipe.lora.rank else None, 0)
        evaluator = setup.evaluator(None)
        prompts = setup.prepared.held_out_in_order(recipe.seed)[::-1][
            : min(asked["prompts"], recipe.evaluation.final_prompts)
        ]
        parameters = dict(policy.model.named_parameters())
        for path in sorted(keep.glob("*.safetensors")):
            step = int(path.stem)
            if step in done:
                continue
            with torch.no_grad():
                for name, weight in load_file(path).items():
                    parameters[name].copy_(weight)
            row = evaluator.measure(policy, prompts, "time to truth", step).row
            kept = {key: row[key] for key in ("truth_gain", "truth_gain_se", "kl", "length", "eos_rate")}
            print(json.dumps({"step": step, **kept}), file=file, flush=True)
    Path(asked["out"]).write_text("{}", encoding="utf-8")


if __name__ == "__main__":
    main()
