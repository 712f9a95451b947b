"""Supervised fine-tuning with TRL: every demonstration once, loss on the response."""

from trl import SFTConfig, SFTTrainer

from speed import meter, peer

if __name__ == "__main__":
    asked = meter.job()
    clock = meter.Meter(asked)
    steps = peer.total(asked)
    rows = peer.rows(asked, steps * asked["batch"])
    trainer = SFTTrainer(
        model=peer.policy(asked),
        args=SFTConfig(
            **peer.arguments(asked), max_steps=steps, per_device_train_batch_size=asked["batch"], learning_rate=2e-5
        ),
        train_dataset=peer.data_set([{"prompt": r["prompt"], "completion": r["chosen"]} for r in rows]),
        processing_class=peer.tokenizer(asked),
        callbacks=[peer.Clock(clock)],
    )
    trainer.train()
    lengths = [len(r["prompt"]) + len(r["chosen"]) + 1 for r in rows]
    clock.finish(meter.mean(lengths) * asked["batch"])
