"""DPO with TRL: every comparison once; its reference is its own copy, read at every step (TRL's default)."""

from trl import DPOConfig, DPOTrainer

from speed import meter, peer

if __name__ == "__main__":
    asked = meter.job()
    clock = meter.Meter(asked)
    steps = peer.total(asked)
    trainer = DPOTrainer(
        model=peer.policy(asked),
        ref_model=peer.policy(asked),
        args=DPOConfig(
            **peer.arguments(asked),
            max_steps=steps,
            per_device_train_batch_size=asked["batch"],
            learning_rate=1e-6,
            beta=0.1,
        ),
        train_dataset=peer.data_set(peer.rows(asked, steps * asked["batch"])),
        processing_class=peer.tokenizer(asked),
        callbacks=[peer.Clock(clock)],
    )
    trainer.train()
    clock.finish(asked["batch"])
