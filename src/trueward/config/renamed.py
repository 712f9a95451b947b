"""Setting names of trueward 0.1, and names reserved for later versions."""

from __future__ import annotations

RENAMED = {
    "evaluation.look_prompts": "evaluation.step_prompts",
    "evaluation.people": "evaluation.final_pairs",
    "evaluation.people_looks": "evaluation.step_pairs",
    "evaluation.prompts": "evaluation.final_prompts",
    "policy.importance_cap": "policy.importance_sampling_cap",
    "policy.train_layers": "policy.trainable_layers",
    "sampler.quantize": "sampler.engine.quantize",
    "sampler.refresh": "sampler.engine.sync_every",
    "sampler.rows": "sampler.engine.max_num_seqs",
}
"""Names of trueward 0.1 (recipes without a format), and their present names."""

RESERVED = {
    "reference": "another model than the SFT policy as the anchor",
}
"""Names reserved for settings that this version does not have, and what each will set."""


def explain_other_name(key: str) -> str:
    """The message for an unknown setting with this dotted name; empty if the name is neither renamed nor reserved."""
    if key in RENAMED:
        return f"{key}: renamed to {RENAMED[key]}"
    if key in RESERVED:
        return f"{key}: not a setting of this version; the name is kept for {RESERVED[key]}"
    return ""
