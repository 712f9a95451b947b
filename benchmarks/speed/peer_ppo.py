"""PPO with TRL 1.12: 4 epochs × `minibatches`.

job["accumulate"]: micro-batches that TRL adds up. With 4 of them (a fourth of the rollouts on the device at a time, as its
examples do) its four minibatches make one optimiser step together; with 1 every minibatch makes one, as ours do.
"""

from trl.experimental.ppo import PPOConfig, PPOTrainer

from speed import meter, peer

if __name__ == "__main__":
    asked = meter.job()
    clock = meter.Meter(asked)
    steps = peer.total(asked)
    words = peer.tokenizer(asked, padding_side="left")
    rows = peer.rows(asked, steps * asked["rollouts"])
    trainer = PPOTrainer(
        args=PPOConfig(
            **peer.arguments(asked),
            per_device_train_batch_size=asked["rollouts"] // asked["accumulate"],
            gradient_accumulation_steps=asked["accumulate"],
            num_mini_batches=asked["minibatches"],
            num_ppo_epochs=4,
            total_episodes=steps * asked["rollouts"],
            response_length=asked["longest"],
            stop_token="eos",
            temperature=1.0,
            missing_eos_penalty=1.0,
            kl_coef=0.05,
            learning_rate=3e-6,
            num_sample_generations=0,
        ),
        processing_class=words,
        model=peer.policy(asked),
        ref_model=peer.policy(asked),
        reward_model=peer.reward(asked),
        value_model=peer.reward(asked),
        train_dataset=peer.data_set([{"input_ids": words(r["prompt"])["input_ids"]} for r in rows]),
        callbacks=[peer.Clock(clock)],
    )
    trainer.train()
    clock.finish(asked["rollouts"])
