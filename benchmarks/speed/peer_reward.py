"""A reward model with TRL: every comparison once."""

from trl import RewardConfig, RewardTrainer

from speed import meter, peer

if __name__ == "__main__":
    asked = meter.job()
    clock = meter.Meter(asked)
    steps = peer.total(asked)
    trainer = RewardTrainer(
        model=peer.reward(asked),
        args=RewardConfig(
            **peer.arguments(asked), max_steps=steps, per_device_train_batch_size=asked["batch"], learning_rate=1e-4
        ),
        train_dataset=peer.data_set(peer.rows(asked, steps * asked["batch"])),
        processing_class=peer.tokenizer(asked),
        callbacks=[peer.Clock(clock)],
    )
    trainer.train()
    clock.finish(asked["batch"])
