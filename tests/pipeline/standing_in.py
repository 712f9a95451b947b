"""Modules of the interface of lm-eval and Inspect, as far as guards use it, for machines that have neither."""

from __future__ import annotations

from pathlib import Path

LM_EVAL = """
import json, os, pathlib, time

PLACE = pathlib.Path(__file__).parent


def simple_evaluate(model, model_args, tasks, device, batch_size, limit, bootstrap_iters, log_samples, random_seed,
                    numpy_random_seed, torch_random_seed, fewshot_random_seed, num_fewshot=None, apply_chat_template=False,
                    task_manager=None):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert model == "hf" and log_samples
    asked = PLACE / "asked.jsonl"
    before = len(asked.read_text().splitlines()) if asked.exists() else 0
    with asked.open("a") as file:
        file.write(json.dumps({"tasks": tasks, "limit": limit, "device": device, "num_fewshot": num_fewshot}) + chr(10))
    AutoTokenizer.from_pretrained(model_args["tokenizer"])
    AutoModelForCausalLM.from_pretrained(model_args["pretrained"])
    name = tasks[0]
    if name == "unknown" or (name == "breaks" and before):
        raise ValueError("no task" + chr(10) + "of this name: " + name)
    if name == "hangs" and before:
        time.sleep(600)
    sinks = name == "sinks" and before
    samples = [
        {"doc_id": i, "filter": kind, "metrics": ["several", "acc", "loss"], "several": [1, 0],
         "acc": bool(i % 5) and not sinks, "loss": float(i)}
        for kind in ("none", "strict") for i in range(limit)
    ]
    return {"samples": {name: samples}, "higher_is_better": {name: {"acc": True, "loss": False}}}
"""
INSPECT = """
import json, pathlib
from types import SimpleNamespace as Some

PLACE = pathlib.Path(__file__).parent


def eval(task, model, model_args, task_args, limit, log_dir, log_samples, display, seed, max_tokens, epochs=1):
    from transformers import AutoModelForCausalLM

    assert model == "hf/checkpoint" and display == "none" and log_samples
    AutoModelForCausalLM.from_pretrained(model_args["model_path"])
    if task == "fails":
        return [Some(status="error", error=Some(message="no sandbox"), samples=None)]
    scores = lambda i: {"match": Some(value="CIP"[i % 3]), "several": Some(value={"a": 1, "b": i / 10})}
    samples = [Some(id=i, epoch=e, scores=scores(i) if i else None) for e in range(epochs) for i in range(limit)]
    return [Some(status="success", error=None, samples=samples)]
"""
SCORER = """
def value_to_float():
    return lambda value: {"C": 1.0, "P": 0.5, "I": 0.0}.get(value, value)
"""


def write(folder: Path) -> None:
    """Write the modules `lm_eval` and `inspect_ai` into a folder."""
    for name, text in (("lm_eval", LM_EVAL), ("inspect_ai", INSPECT)):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(text)
    (folder / "inspect_ai" / "scorer.py").write_text(SCORER)
