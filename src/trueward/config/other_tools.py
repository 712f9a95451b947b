"""What other tools call things, and what they are called here; docs/from-trl.md shows the same tables.

Names are those of TRL 1.16 (its PPO: 1.12), LLaMA-Factory 0.9, axolotl 0.19, ms-swift 4.6, OpenRLHF 0.11 (where each flag is
dotted, and older ones with underscores) and verl 0.9.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Same(NamedTuple):
    """One thing: its names here (dotted settings, `--options`, nothing if there is none), its names elsewhere, a remark."""

    ours: tuple[str, ...]
    names: tuple[str, ...]
    remark: str = ""


def _same(ours: str, names: str, remark: str = "") -> Same:
    """The same, of names that are written one after the other."""
    return Same(tuple(ours.split()), tuple(names.split()), remark)


SETTINGS: tuple[Same, ...] = (
    # The model and the data.
    _same("model.base", "model_name_or_path base_model pretrain model_id_or_path"),
    _same("sft.model", "sft_model_path", "the SFT policy: start and anchor"),
    _same("reward.model", "reward_model_path reward_model reward_pretrain"),
    _same(
        "",
        "ref_model ref_model_path sync_ref_model ref_model_sync_steps",
        "the anchor is the SFT policy, and stays",
    ),
    _same(
        "data.demonstrations data.prompts comparisons.path",
        "dataset_name dataset datasets train_files prompt_data prompt_dataset",
        "by what is in it",
    ),
    _same("data.held_out", "val_size val_set_size split_dataset_ratio", "by prompt, the same in every run"),
    _same("data.instruction", "template input_template chat_template default_system system"),
    _same("data.max_prompt_tokens", "max_prompt_length prompt_max_len max_prompt_len"),
    _same(
        "data.max_prompt_tokens data.max_response_tokens",
        "max_length max_seq_length max_seq_len cutoff_len sequence_len max_len model_max_length",
        "longer rows are left out and counted, or cut (data.truncation)",
    ),
    _same("data.truncation", "truncation_mode truncation_side truncation_strategy"),
    _same(
        "",
        "completion_only_loss assistant_only_loss train_on_inputs train_on_prompt",
        "SFT's loss is on what the assistant writes alone",
    ),
    _same("sft.turns", "mask_history", 'masked: "last"'),
    _same(
        "",
        "packing neat_packing sample_packing packing_samples padding_free use_remove_padding",
        "Llama-like models train without padding anyway, and no row sees another",
    ),
    # Optimisation.
    _same("sft.learning_rate reward.learning_rate policy.learning_rate", "lr", "each stage has its own"),
    _same("policy.learning_rate", "actor_learning_rate actor_lr"),
    _same("policy.value_learning_rate", "critic_learning_rate critic_lr"),
    _same(
        "sft.batch_size reward.batch_size policy.batch_size",
        "per_device_train_batch_size train_batch_size",
        "of a whole step; of [policy]: completions a rollout",
    ),
    _same("policy.batch_size", "rollout_batch_size generation_batch_size ppo_buffer_size", "completions, not prompts"),
    _same(
        "runtime.micro_batch_tokens",
        "gradient_accumulation_steps micro_batch_size micro_train_batch_size micro_rollout_batch_size "
        "ppo_micro_batch_size_per_gpu local_rollout_forward_batch_size",
        "a step's batch is split to fit it; lower it where memory runs out",
    ),
    _same("runtime.micro_batch_tokens", "auto_find_batch_size", 'true: "auto"'),
    _same("runtime.checkpointing", "gradient_checkpointing", "for every stage; no number changes"),
    _same(
        "sft.epochs reward.epochs policy.epochs",
        "num_train_epochs num_epochs max_epochs total_epochs",
        "of [policy]: passes over a rollout",
    ),
    _same("policy.epochs", "num_ppo_epochs ppo_epochs num_iterations", "passes over each rollout"),
    _same(
        "policy.minibatches",
        "num_mini_batches steps_per_generation ppo_mini_batch_size",
        "how many optimiser steps a pass, not how large",
    ),
    _same(
        "policy.steps",
        "max_steps num_episodes total_training_steps",
        "rollouts; TRL's total_episodes is steps · batch_size, and an option of trueward ppo",
    ),
    _same(
        "sft.warmup reward.warmup policy.warmup",
        "warmup_ratio warmup_steps lr_warmup_ratio lr_warmup_steps",
        "a share of the steps",
    ),
    _same(
        "policy.decay",
        "lr_scheduler_type lr_scheduler",
        "linear to zero, or constant; SFT and reward model: linear",
    ),
    _same("sft.max_grad_norm reward.max_grad_norm policy.max_grad_norm", "max_norm grad_clip max_gradient_norm"),
    # The algorithm.
    _same(
        "policy.kind",
        "rlhf_type rl stage adv_estimator advantage_estimator",
        "--until sft or reward_model for those alone",
    ),
    _same(
        "policy.kl_coef",
        "beta init_kl_coef init_coef pref_beta rl_beta kl_loss_coef kl_ctl",
        "rewards are in SDs of the proxy, so its size is another one",
    ),
    _same("policy.target_kl", "kl_target ppo_target", "nats of a whole answer"),
    _same("policy.group.kl", "use_kl_loss use_kl_in_reward kl_in_reward kl_loss_type kl_estimator use_kl_estimator_k3"),
    _same("policy.clip", "cliprange epsilon eps_clip clip_ratio clip_ratio_low epsilon_low clip_range"),
    _same("policy.group.clip_high", "epsilon_high clip_ratio_high clip_higher"),
    _same("policy.clip policy.group.clip_high", "eps_clip_low_high"),
    _same("policy.dual_clip", "delta clip_ratio_c"),
    _same("policy.value_clip", "cliprange_value value_clip_range"),
    _same(
        "policy.critic.coef",
        "vf_coef",
        'with critic.trunk = "shared"; else the value network has a rate of its own',
    ),
    _same("policy.critic.warmup_steps", "critic_warmup freezing_actor_steps freezing_steps"),
    _same("policy.discount", "gamma"),
    _same("policy.gae_lambda", "lam lambd"),
    _same(
        "policy.whiten_advantages",
        "whiten_rewards ppo_whiten_rewards normalize_advantages",
        "advantages are whitened, rewards never",
    ),
    _same("policy.group.size", "num_generations n_samples_per_prompt num_return_sequences"),
    _same("policy.group.std", "scale_rewards no_advantage_std_norm no_std_norm norm_adv_by_std_in_grpo"),
    _same("policy.group.reducer", "loss_agg_mode"),
    _same("policy.group.ratio", "importance_sampling_level policy_loss_type loss_mode"),
    _same("policy.group.drop_equal_groups", "dynamic_sample dynamic_filtering dynamic_filtering_enable filter_groups"),
    _same("policy.group.refill", "max_resample_times max_num_gen_batches"),
    _same("policy.group.overlong_tokens", "soft_cache_length overlong_buffer_len overlong_buffer"),
    _same(
        "policy.missing_eos_penalty",
        "stop_properly_penalty_coef mask_truncated_completions overlong_filter",
        "cut answers count, less this penalty in SDs",
    ),
    _same(
        "policy.importance_sampling_cap",
        "vllm_importance_sampling_cap vllm_importance_sampling_clip_max rollout_importance_sampling_threshold "
        "is_correction_threshold",
    ),
    _same(
        "policy.dpo.loss policy.group.preset",
        "loss_type pref_loss dpo_loss_type ipo_enable",
        "DPO's loss; GRPO's published variants",
    ),
    _same("policy.dpo.label_smoothing", "dpo_label_smoothing"),
    _same("policy.dpo.simpo_margin", "simpo_gamma", "γ itself, not γ/β"),
    _same(
        "policy.ptx_coef",
        "pref_ftx rpo_alpha nll_loss_coef sft_alpha",
        "with ppo, grpo and rloo; DPO has no SFT term here",
    ),
    _same(
        "sft.trainable_layers reward.trainable_layers policy.trainable_layers",
        "freeze_trainable_layers num_layers_unfrozen peft_layers_to_transform",
        "counted from the top; adapters of SFT and reward model then stand in these alone",
    ),
    _same(
        "",
        "entropy_coef entropy_coeff ent_coef",
        "no entropy bonus: the KL anchor keeps answers from becoming alike",
    ),
    # The reward.
    _same(
        "reward.kind reward.verifier",
        "reward_funcs reward_function remote_rm_url custom_reward_function",
        "a verifier, a mixture, a judge, or module:function",
    ),
    _same(
        "reward.normalize",
        "ppo_score_norm normalize_reward normalize_enable center_rewards_coefficient",
        "the proxy is scaled under the SFT policy",
    ),
    _same("reward.clip", "reward_clip_range cliprange_reward reward_clip"),
    # Sampling.
    _same("sampler.max_new_tokens", "max_completion_length response_length generate_max_len max_response_length"),
    _same(
        "",
        "top_p top_k min_p repetition_penalty",
        "answers come from the whole distribution, whose probabilities the KL and the ratio need",
    ),
    _same(
        "sampler.engine.kind",
        "use_vllm vllm_mode infer_backend",
        '`kind = "vllm"` is colocated; with `sampler.engine.address` it is a server',
    ),
    _same("sampler.engine.address", "vllm_server_base_url"),
    _same("sampler.engine.gpu_memory_utilization", "vllm_gpu_memory_utilization"),
    _same("sampler.engine.max_staleness", "async_queue_size", "K, and which weights sample which step is fixed"),
    # LoRA, precision, memory.
    _same("lora.rank", "lora_r lora_rank use_peft finetuning_type tuner_type train_type adapter"),
    _same("lora.alpha", "lora_alpha"),
    _same("lora.targets", "lora_target_modules lora_target lora_target_linear target_modules"),
    _same("", "lora_dropout", "no dropout: the policy that learns has to be the one that wrote the rollout"),
    _same(
        "model.dtype", "bf16 torch_dtype dtype pure_bf16", "weights that learn stay float32; `auto` is bfloat16 on CUDA"
    ),
    _same("model.dtype", "fp16 tf32", "bfloat16 or float32: float16 would need its losses scaled"),
    _same(
        "lora.base",
        "load_in_4bit bnb_4bit_quant_type quantization_bit quantization_method",
        '"nf4": frozen layers in four bits under adapters, scales in float32 (no double quantisation)',
    ),
    _same("sampler.engine.quantize", "load_in_8bit", "weights that train are float32; rollouts may be coarser"),
    _same(
        "runtime.shard",
        "deepspeed fsdp fsdp_config",
        '"full", with --launch torchrun: weights, gradients and optimiser state in parts, as ZeRO-3 and FSDP have them',
    ),
    _same(
        "runtime.ray.ranks",
        "nnodes n_gpus_per_node actor_num_nodes actor_num_gpus_per_node",
        "with --launch ray: training processes of the whole cluster, each with a GPU",
    ),
    _same(
        "runtime.ray.samplers", "vllm_num_engines", "with --launch ray: each holds an engine and a copy of the policy"
    ),
    _same(
        "runtime.ray.scorers",
        "reward_num_nodes reward_num_gpus_per_node",
        "with --launch ray: a reward model, a verifier or a judge",
    ),
    _same(
        "runtime.ray.placement",
        "colocate_all_models",
        '"colocated": samplers and scorers on the training processes\' GPUs',
    ),
    _same("", "ddp_timeout", "a process that is silent for TRUEWARD_SILENCE seconds (120) is given up"),
    _same(
        "runtime.attention",
        "attn_implementation flash_attn flash_attention",
        "torch's scaled_dot_product_attention, or the package flash-attn in the fast path of training",
    ),
    # Around the run.
    _same("evaluation.every", "eval_steps eval_strategy evaluation_strategy test_freq"),
    _same(
        "runtime.checkpoint_seconds",
        "save_steps save_strategy save_freq save_total_limit resume_from_checkpoint",
        "the same command goes on",
    ),
    _same("runtime.tracking", "report_to use_wandb wandb_project log_with use_swanlab"),
    _same(
        "",
        "logging_steps log_completions num_completions_to_print num_sample_generations",
        "every step is logged, and samples at every evaluation",
    ),
    _same("--out", "output_dir save_path default_local_dir", "an option of the command, not a setting"),
    _same("name", "run_name experiment_name"),
    _same("seed", "data_seed random_seed"),
)
"""Settings and flags. No name stands twice."""

ELSEWHERE: dict[str, Same] = {name: same for same in SETTINGS for name in same.names}


def explain_foreign(key: str, value: Any = None) -> str:
    """What a setting of another tool is called here; empty if no known tool has a setting of this name.

    key: as it was typed, dotted or not. value: what was given; of a table its first entry is tried too.
    """
    *sections, name = key.split(".")
    name = name.replace("-", "_")
    if name not in ELSEWHERE:
        inner = next(iter(value.items()), None) if isinstance(value, dict) else None
        return explain_foreign(f"{key}.{inner[0]}", inner[1]) if inner else ""
    same = ELSEWHERE[name]
    here = [o for o in same.ours if sections and o.startswith(f"{sections[0]}.")] or same.ours
    answer = f"is {_listed(here)} here" if here else "has no counterpart here"
    narrowed = len(here) < len(same.ours)  # the remark is about all of them
    return f"{key} {answer}" + (f" ({same.remark})" if same.remark and not narrowed else "")


def _listed(names: Any) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
