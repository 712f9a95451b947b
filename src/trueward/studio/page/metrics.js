// What the figures in a run's logs are called, and their units.
export const STAGES = { evaluations: "Evaluations", policy: "Policy", reward_model: "Reward model", sft: "SFT", control: "Control" };
export const NAMES = {
  "objective/scores": "Proxy of the rollouts (SD)",
  "objective/kl": "KL of the rollouts (nats)",
  "objective/rlhf_reward": "Reward, anchor included",
  "objective/kl_coef": "β",
  "policy/entropy_avg": "Entropy (nats a token)",
  "policy/approxkl_avg": "KL of the update",
  "policy/clipfrac_avg": "Clipped share, policy",
  "policy/grad_norm": "Gradient norm, policy",
  "val/clipfrac_avg": "Clipped share, value",
  "val/ratio": "Ratio",
  "val/ratio_first": "Ratio, largest distance from 1 before the first update",
  "val/explained_variance": "Explained variance",
  "val/grad_norm": "Gradient norm, value",
  "val/num_eos_tokens": "Answers that ended",
  "loss/policy_avg": "Loss, policy",
  "loss/value_avg": "Loss, value",
  length: "Length (tokens)",
  lr: "Learning rate",
  learning_rate: "Learning rate",
  nll: "NLL (nats a token)",
  loss: "Loss",
  accuracy: "Accuracy",
  margin: "Margin",
  grad_norm: "Gradient norm",
};

export const EVALUATED = {
  truth: ["Truth", "SD above SFT"],
  proxy: ["Proxy", "SD above SFT"],
  kl: ["KL to SFT", "nats"],
  win_rate: ["Win rate against SFT", "share"],
  truth_at_length: ["Truth at SFT's length", "SD above SFT"],
  proxy_at_length: ["Proxy at SFT's length", "SD above SFT"],
  length: ["Length", "tokens"],
  eos_rate: ["Answers that ended", "share"],
  distinct_1: ["distinct-1", "share"],
  distinct_2: ["distinct-2", "share"],
  unique: ["Answers that are unique", "share"],
  entropy: ["Entropy", "nats a token"],
  sft_nll: ["NLL under SFT", "nats a token"],
  echo_rate: ["Answers that echo the prompt", "share"],
  longest_repeat: ["Longest repetition", "words"],
  outlier_share: ["Answers unlike SFT's", "share"],
  proxy_truth_correlation: ["Correlation of proxy and truth", ""],
  length_correlation: ["Correlation of proxy and length", ""],
  kl_coef: ["β", ""],
  seconds: ["Time", "s"],
};

// Name and unit of "stage/figure".
export function called(metric) {
  const [stage, ...rest] = metric.split("/");
  const key = rest.join("/");
  if (stage === "evaluations") return EVALUATED[key] ?? [key.replaceAll("_", " "), ""];
  const name = NAMES[key] ?? key;
  const unit = name.match(/ \(([^()]+)\)$/);
  return unit ? [name.slice(0, unit.index), unit[1]] : [name, ""];
}
