"""PPO with TRL 1.12 on a run's SFT model, reward model and prompts; the weights kept after every iteration, off the clock.

The job says what the run's recipe says, as far as TRL has a name for it; the anchor's weight and the penalty come in the reward
model's own units, in which TRL works.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TrainerCallback,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer

from speed import meter, peer


class Keep(TrainerCallback):  # type: ignore[misc]
    """Stops the clock, keeps the weights, starts the clock."""

    def __init__(self, policy: torch.nn.Module, keep: Path, clock: meter.Meter) -> None:
        self.policy, self.keep, self.clock, self.seconds, self.spent, self.since = policy, keep, clock, [], 0.0, 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.since = self.clock.now()

    def on_step_end(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        self.spent += self.clock.now() - self.since
        self.seconds.append(self.spent)
        weights = {name: p.detach().contiguous() for name, p in self.policy.named_parameters()}
        save_file(weights, self.keep / f"{state.global_step:05d}.safetensors")
        self.since = self.clock.now()


def main() -> None:
    asked = meter.job()
    clock = meter.Meter(asked)
    words = AutoTokenizer.from_pretrained(asked["sft"], padding_side="left")
    policy = AutoModelForCausalLM.from_pretrained(asked["sft"], dtype=torch.float32)

    def scorer() -> Any:
        return AutoModelForSequenceClassification.from_pretrained(asked["reward"], dtype=torch.float32, num_labels=1)

    keep = Keep(policy, Path(asked["keep"]), clock)
    trainer = PPOTrainer(
        args=PPOConfig(
            **{**peer.arguments(asked), "seed": asked["seed"]},
            per_device_train_batch_size=asked["batch_size"],
            gradient_accumulation_steps=1,
            num_mini_batches=asked["minibatches"],
            num_ppo_epochs=asked["epochs"],
            total_episodes=asked["iterations"] * asked["batch_size"],
            response_length=asked["longest"],
            stop_token="eos",
            temperature=asked["temperature"],
            missing_eos_penalty=asked["missing_eos_penalty"],
            kl_coef=asked["kl_coef"],
            cliprange=asked["clip"],
            cliprange_value=asked["value_clip"],
            lam=asked["gae_lambda"],
            learning_rate=asked["rate"],
            lr_scheduler_type="constant",
            num_sample_generations=0,
        ),
        processing_class=words,
        model=policy,
        ref_model=AutoModelForCausalLM.from_pretrained(asked["sft"], dtype=torch.float32),
        reward_model=scorer(),
        value_model=scorer(),
        train_dataset=peer.data_set([{"input_ids": ids} for ids in json.loads(Path(asked["prompts"]).read_text())]),
        callbacks=[keep],
    )
    trainer.train()
    clock.ticks = [0.0, *keep.seconds]
    clock.finish(1.0, at=keep.seconds)


if __name__ == "__main__":
    main()
