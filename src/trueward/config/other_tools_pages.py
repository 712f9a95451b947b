"""Trainers, figures and rows of data of other tools, and what they are here: the other tables of docs/from-trl.md."""

from __future__ import annotations

from trueward.config.other_tools import Same

TRAINERS: tuple[Same, ...] = (
    Same(
        ("trueward sft",),
        ("SFTTrainer", "llamafactory-cli train (stage: sft)", "swift sft", "axolotl train", "openrlhf.cli.train_sft"),
    ),
    Same(
        ("trueward reward-model",),
        ("RewardTrainer", "llamafactory-cli train (stage: rm)", "swift rlhf --rlhf_type rm", "openrlhf.cli.train_rm"),
    ),
    Same(
        ("trueward ppo", "trueward run"),
        (
            "PPOTrainer",
            "llamafactory-cli train (stage: ppo)",
            "swift rlhf --rlhf_type ppo",
            "openrlhf.cli.train_ppo_ray",
        ),
    ),
    Same(
        ("policy.kind=grpo",),
        (
            "GRPOTrainer",
            "swift rlhf --rlhf_type grpo",
            "axolotl train (rl: grpo)",
            "train_ppo_ray --algo.advantage.estimator group_norm",
        ),
    ),
    Same(("policy.kind=rloo",), ("RLOOTrainer", "train_ppo_ray --algo.advantage.estimator rloo")),
    Same(
        ("policy.kind=dpo",),
        (
            "DPOTrainer",
            "llamafactory-cli train (stage: dpo)",
            "swift rlhf --rlhf_type dpo",
            "axolotl train (rl: dpo)",
            "openrlhf.cli.train_dpo",
        ),
    ),
    Same(
        ("policy.kind=dpo", "policy.dpo.loss=simpo"),
        ("CPOTrainer (loss_type: simpo)", "swift rlhf --rlhf_type simpo", "axolotl train (rl: simpo)"),
    ),
    Same(("policy.kind=dpo", "policy.dpo.online=true"), ("OnlineDPOTrainer",)),
    Same(("policy.kind=best_of_n",), ("BestOfNSampler (older TRL)",)),
    Same(
        ("comparisons.source=judge", "reward.kind=judge"),
        ("HfPairwiseJudge", "OpenAIPairwiseJudge", "PairRMJudge"),
        "labels for a reward model, or the reward itself (reward.judge_mode); PairRM is no chat model, and is not read",
    ),
    Same(
        ("[[evaluation.judge]]",),
        ("WinRateCallback",),
        "a truth beside SFT's answers, in both orders; training never sees it",
    ),
    Same(
        ("evaluation.guards",),
        ("lm_eval after training", "swift eval", "llamafactory-cli eval"),
        "lm-eval and Inspect while a policy is trained, paired by item with SFT",
    ),
    Same(("trueward run --launch torchrun",), ("accelerate launch", "torchrun", "FORCE_TORCHRUN=1")),
    Same(
        (),
        ("KTOTrainer", "ORPOTrainer", "GKDTrainer"),
        "not here: from one-sided labels, without a reference, from a teacher",
    ),
)
"""Trainers and commands."""

METRICS: tuple[Same, ...] = (
    Same(("nll",), ("loss (SFTTrainer)",), "nats a token, of the responses"),
    Same(("accuracy",), ("accuracy (RewardTrainer)",), "ties aside"),
    Same(
        ("objective/scores",), ("reward", "objective/scores"), "in SDs of the proxy, less the penalty for cut answers"
    ),
    Same(("objective/kl",), ("kl", "objective/kl"), "of a whole answer, k1; TRL's GRPO: k3, a mean over tokens"),
    Same(("objective/rlhf_reward",), ("objective/rlhf_reward",)),
    Same(("objective/group_sd",), ("reward_std",)),
    Same(("objective/equal_groups",), ("frac_reward_zero_std",)),
    Same(("policy/entropy_avg",), ("entropy", "policy/entropy_avg")),
    Same(("policy/clipfrac_avg",), ("clip_ratio/region_mean", "policy/clipfrac_avg")),
    Same(("length",), ("completions/mean_length",)),
    Same(
        ("val/num_eos_tokens",),
        ("completions/clipped_ratio", "val/num_eos_tokens"),
        "answers that ended, not the share that was cut",
    ),
    Same(("rewards/chosen", "rewards/rejected"), ("rewards/chosen", "rewards/rejected")),
    Same(("rewards/accuracies", "rewards/margins"), ("rewards/accuracies", "rewards/margins")),
    Same(("reward/raw", "reward/PART"), ("rewards/NAME/mean",)),
)
"""Figures of a run. [Metrics](metrics.md) compares them one by one."""

FORMATS: tuple[Same, ...] = (
    Same(
        ("data.demonstrations",),
        (
            'TRL, `{"prompt", "completion"}`, text or messages',
            'TRL, axolotl (`chat_template`), ms-swift, `{"messages"}`',
        ),
    ),
    Same(("data.prompts",), ('TRL, `{"prompt"}`', "verl, OpenRLHF, a column of prompts: name it `prompt`")),
    Same(
        ("comparisons.path",),
        ('TRL, axolotl, `{"prompt", "chosen", "rejected"}`', 'TRL, `{"chosen", "rejected"}`, prompt inside'),
    ),
    Same(
        ("data.demonstrations",),
        (
            'LLaMA-Factory, `{"instruction", "input", "output"}` (alpaca)',
            'LLaMA-Factory, ms-swift, `{"conversations"}` (sharegpt)',
        ),
        "read as they are",
    ),
    Same(
        (),
        ('TRL, `{"text"}`', 'TRL, `{"prompt", "completion", "label"}`'),
        "refused: it doesn't say where the prompt ends; it judges one answer alone",
    ),
)
"""Rows of data."""
