"""GRPO with TRL, against the same reward model, anchored to its reference."""

from trl import GRPOConfig, GRPOTrainer

from speed import meter, peer

if __name__ == "__main__":
    asked = meter.job()
    clock = meter.Meter(asked)
    steps = peer.total(asked)
    trainer = GRPOTrainer(
        model=str(asked["material"]) + "/policy",  # by path: a policy in memory would be anchored to another model
        reward_funcs=peer.reward(asked),
        args=GRPOConfig(
            **peer.arguments(asked),
            model_init_kwargs={"dtype": "float32"},
            max_steps=steps,
            per_device_train_batch_size=asked["rollouts"],
            num_generations=8,
            max_completion_length=asked["longest"],
            temperature=1.0,
            beta=0.05,
            learning_rate=1e-6,
        ),
        train_dataset=peer.data_set(
            [{"prompt": r["prompt"]} for r in peer.rows(asked, steps * asked["rollouts"] // 8)]
        ),
        processing_class=peer.tokenizer(asked, padding_side="left"),
        reward_processing_classes=peer.tokenizer(asked),
        callbacks=[peer.Clock(clock)],
    )
    trainer.train()
    answers = [h["completions/mean_length"] for h in trainer.state.log_history if "completions/mean_length" in h]
    clock.finish(asked["rollouts"], answer=meter.mean(answers) if answers else asked["longest"])
