"""Truth and KL of the weights that were kept, on held-out prompts that neither side saw: one line each, as they are done."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from speed import meter
from speed.truth_ours import stage
from trueward import config
from trueward.pipeline.env import Env
from trueward.pipeline.eval_setup import build_evaluator, final_prompts
from trueward.progress import Progress


def main() -> None:
    asked = meter.job()
    run, keep, scores = Path(asked["run"]), Path(asked["keep"]), Path(asked["scores"])
    recipe = config.read(str(run / "recipe.toml"), [f"runtime.threads={asked['threads']}"])
    context = Env.make(recipe, Progress())
    prepared, sft = stage(run, "prepare"), stage(run, "sft")
    policy, reference = context.policy(sft.model), context.policy(sft.model)
    instrument = build_evaluator(context, prepared, sft, None, reference)
    prompts = final_prompts(context, prepared)[: asked["prompts"]]
    done = {row["step"] for row in meter.read_rows(scores)} if scores.is_file() else set()
    parameters = dict(policy.model.named_parameters())
    with scores.open("a", encoding="utf-8") as file:
        for path in sorted(keep.glob("*.safetensors")):
            step = int(path.stem)
            if step in done:
                continue
            with torch.no_grad():
                for name, weight in load_file(path).items():
                    parameters[name].copy_(weight)
            row = instrument.measure(policy, prompts, "time to truth", step).row
            kept = {key: row[key] for key in ("truth_gain", "truth_gain_se", "kl", "length", "eos_rate")}
            print(json.dumps({"step": step, **kept}), file=file, flush=True)
    Path(asked["out"]).write_text("{}", encoding="utf-8")


if __name__ == "__main__":
    main()
