"""Answers drawn by transformers' `generate`, prompts padded on the left."""

import torch

from speed import meter, peer

if __name__ == "__main__":
    asked = meter.job()
    clock = meter.Meter(asked)
    torch.set_num_threads(asked["threads"])
    torch.manual_seed(0)
    words, policy = peer.tokenizer(asked, padding_side="left"), peer.policy(asked).eval()
    prompts = words([r["prompt"] for r in peer.rows(asked, asked["sampled"])], return_tensors="pt", padding=True)
    written = []
    clock.start()
    for _ in range(peer.total(asked)):
        out = policy.generate(
            input_ids=prompts["input_ids"],
            attention_mask=prompts["attention_mask"],
            do_sample=True,
            temperature=1.0,
            top_k=0,
            max_new_tokens=asked["longest"],
        )
        clock.tick()
        answers = out[:, prompts["input_ids"].shape[1] :]
        written.append(float((answers != words.pad_token_id).sum()))
    clock.finish(written, answer=meter.mean(written) / asked["sampled"])
