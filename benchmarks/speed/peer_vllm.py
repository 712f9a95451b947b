"""Answers drawn by vLLM on the CPU, eager or compiled (job["eager"]), in this process."""

from speed import meter

if __name__ == "__main__":
    asked = meter.job()
    from vllm import LLM, SamplingParams

    clock = meter.Meter(asked)
    engine = LLM(
        model=asked["material"] + "/policy",
        dtype="float32",
        max_model_len=128,
        max_num_seqs=asked["sampled"],
        enforce_eager=asked["eager"],
        enable_prefix_caching=False,
        seed=0,
    )
    rows = meter.read_rows(asked["material"] + "/rows.jsonl")[: asked["sampled"]]
    words = engine.get_tokenizer()
    prompts = [{"prompt_token_ids": words(r["prompt"])["input_ids"]} for r in rows]
    settings = SamplingParams(temperature=1.0, max_tokens=asked["longest"])
    written = []
    clock.start()
    for _ in range(asked["warm_up"] + asked["steps"]):
        answers = engine.generate(prompts, settings, use_tqdm=False)
        clock.tick()
        written.append(float(sum(len(a.outputs[0].token_ids) for a in answers)))
    clock.finish(written, answer=meter.mean(written) / asked["sampled"])
