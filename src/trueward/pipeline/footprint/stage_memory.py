"""Each stage of a recipe with what it holds at its peak, and what it writes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from trueward.batches import EVEN
from trueward.config import Recipe
from trueward.models import nf4
from trueward.models.state_cache import ROOM, WIDTH
from trueward.pipeline.footprint.arithmetic import FLOAT, Widths, compared, learned, sampling
from trueward.pipeline.footprint.model_shape import ModelShape
from trueward.pipeline.frozen_states import is_read_again
from trueward.pipeline.parts import Parts

QUANTISED = {"none": 4.0, "int8": 1.0, "bfloat16": 2.0}
REFERENCE_ANSWERS = 768  # that SFT's policy gives in its stage, at most
GROUPED = ("grpo", "rloo")  # kinds whose answers to a prompt are learned from together
CHECKPOINTS = 2  # of a loop, that are on disk at once


class SequenceLengths(NamedTuple):
    """Tokens of the longest prompt and of the longest answer."""

    prompt: int
    answer: int
    mean: float = 0.0
    """Of prompt and answer together, in the mean; 0: as long as the longest."""

    @property
    def longest(self) -> int:
        """Both together."""
        return self.prompt + self.answer

    @property
    def usual(self) -> float:
        """Of a sequence, in the mean."""
        return self.mean or float(self.longest)

    @property
    def usual_prompt(self) -> float:
        """Of a prompt, in the mean."""
        return self.usual - self.answer


class UsualDemonstration(NamedTuple):
    """Of a demonstration, in the mean."""

    prompt: float
    """Tokens."""
    answer: float
    """Tokens, with the one that ends it."""
    beside: float = 1.0
    """Demonstrations of a batch that share a prompt."""


@dataclass(frozen=True)
class StageMemory:
    """Bytes by what holds them, for one stage. They aren't all there at once: `peak` is the most that is."""

    stage: str
    weights: float
    gradients: float
    optimizer: float
    activations: float
    sampler: float
    evaluation: float
    peak: float
    disk: float
    advice: str = ""


@dataclass(frozen=True)
class Plan:
    """What the arithmetic is given: a recipe, its model, the lengths of its data, the tokens at once, bytes of a number."""

    recipe: Recipe
    shape: ModelShape
    lengths: SequenceLengths
    tokens: int
    widths: Widths = field(default_factory=Widths)
    demonstration: UsualDemonstration | None = None
    """None: as long as what is sampled."""
    threads: int = 16
    """Of a process."""
    parts: int = 1
    """Processes that hold a part each of what learns (`runtime.shard = "full"`); all numbers are one process's."""

    @property
    def gathered(self) -> float:
        """Bytes of the weights that are gathered at once, and of their gradients: a layer's, and the embeddings."""
        if self.parts == 1:
            return 0.0
        shape = self.shape
        layer, outer = shape.matrices / shape.layers, shape.vocabulary * shape.hidden
        if self.rank:
            return (layer + outer) * self.widths.frozen
        return 2 * (layer + outer) * FLOAT

    @property
    def rank(self) -> int:
        """Of the adapters; 0: whole networks learn."""
        return self.recipe.lora.rank

    @property
    def is_nf4(self) -> bool:
        """Whether the frozen linear layers are kept in four bits."""
        return bool(self.rank) and self.recipe.lora.base == nf4.KIND

    @property
    def trained(self) -> int:
        """Weights of the policy's network that learn."""
        return self.learns(self.recipe.policy.trainable_layers)

    def learns(self, top: int) -> int:
        """Weights of a network that learn: all or an adapter's; only those of the `top` layers, if that isn't 0."""
        part = min(1.0, top / self.shape.layers) if top else 1.0
        if self.rank:
            return round(self.shape.adapter(self.rank, self.recipe.lora.targets) * part)
        return self.shape.weights if not top else round(self.shape.matrices * part)

    @property
    def states(self) -> float:
        """Bytes of what the reward model's frozen layers make of the compared answers, where that is kept."""
        reward, labels, lengths = self.recipe.reward, self.recipe.comparisons, self.lengths
        if not self.shape.is_packed or not is_read_again(reward) or reward.trainable_layers >= self.shape.layers:
            return 0.0
        most = ROOM * (1 + reward.cross_check)
        if labels.source == "file" or labels.source.startswith("studio:"):
            return float(most)  # how many there are is not known here
        tokens = labels.count * (1 - reward.held_out) * (lengths.usual_prompt + 2 * lengths.answer)
        return min(float(most), tokens * self.shape.hidden * WIDTH * (2 if reward.layers == "auto" else 1))

    @property
    def frozen(self) -> float:
        """Bytes of one whole network that doesn't learn; in four bits, with the one matrix that is there as plain numbers."""
        if not self.is_nf4:
            return self.shape.weights * self.widths.frozen
        largest = max((rows * columns for _, rows, columns in self.shape.linear), default=0)
        rest = (self.shape.weights - self.shape.matrices) * self.widths.frozen
        return self.shape.matrices * nf4.BITS / 8 + rest + 2 * largest * FLOAT

    def network(self, learns: bool, top: int = 0) -> float:
        """Bytes of one more network: whole, or an adapter on weights that are there already. top: as in `learns`."""
        if self.rank:
            return self.learns(top) * FLOAT
        return self.shape.weights * (FLOAT if learns else self.widths.frozen)

    def stages(self) -> list[StageMemory]:
        """The stages of the recipe that hold a model, in order."""
        part = Parts(self.recipe)
        out = [self._sft()]
        if part.fits:
            out.append(self._reward_model())
        if self.recipe.policy.kind != "best_of_n":
            out.append(self._policy())
        return [*out, self._evaluation()]

    def _rows(self, answers: int) -> int:
        return min(self.recipe.sampler.engine.max_num_seqs, answers)

    def _learning(
        self, batch: int, prompt: float, answer: float, top: int, *, last: bool = False, beside: float = 1.0
    ) -> tuple[float, float, float]:
        """Gradients, activations, both at their peak. batch: sequences of a step, of so many tokens in the mean. top: layers
        that learn, 0: all; those below keep nothing. last: of an
        answer the last token alone is chosen, and scores are compared: what fits the budget is kept until all are there.
        beside: sequences that share a prompt, which the packed path reads once."""
        usual = prompt + answer
        total = batch * usual
        fits = last and total <= self.tokens and self.parts == 1
        rows = min(batch, max(self.lengths.longest, total if fits else self._at_once(total)) / usual)
        tokens = max(1, round(rows * (answer + prompt / (beside if self.shape.is_packed else 1.0))))
        chosen = max(1, round(rows * (1 if last else answer)))
        whole, checkpointing, own = rows >= batch, self.recipe.runtime.checkpointing, self.learns(top) // self.parts
        shape = replace(self.shape, layers=min(top, self.shape.layers)) if top else self.shape
        both = self.gathered + learned(
            shape, own, tokens, chosen, whole=whole, checkpointing=checkpointing, kept=self.widths.kept
        )
        gradients = own * FLOAT
        return gradients, both - gradients if both > gradients else both, both

    def _at_once(self, tokens: float) -> float:
        """Tokens of a micro-batch of a step of `tokens`. The packed path makes even ones that suit the threads."""
        if not self.shape.is_packed:
            return min(self.tokens, tokens)
        even = self.threads * EVEN
        return min(self.tokens, tokens / max(1, round(tokens / even)))

    def sampled(self, answers: int, quantize: str = "none") -> float:
        """Bytes of the local sampler while it gives so many answers."""
        lengths, sampled = self.lengths, self.widths.sampled
        decoder = min(QUANTISED[quantize], sampled)
        shape = replace(self.shape, has_decoder=False) if self.is_nf4 else self.shape  # no copy is laid out
        return sum(sampling(shape, self._rows(answers), lengths.prompt, lengths.answer, decoder, sampled))

    def _sft(self) -> StageMemory:
        weights, drawn = self.frozen, self.sampled(REFERENCE_ANSWERS)
        if self.recipe.sft.model:
            return StageMemory("sft", weights, 0, 0, 0, drawn, 0, weights + drawn, self.shape.weights * FLOAT)
        top = self.recipe.sft.trainable_layers
        learner, trained = self.network(learns=True, top=top), self.learns(top)
        base = self.frozen / self.parts if self.rank else self.frozen
        written = self.demonstration or UsualDemonstration(self.lengths.usual_prompt, self.lengths.answer)
        prompt, answer, beside = written
        gradients, acts, both = self._learning(self.recipe.sft.batch_size, prompt, answer, top, beside=beside)
        moments = 2 * trained * FLOAT / self.parts
        merged = self.frozen if self.rank else 0.0  # the adapter is added into a copy
        afterwards = self.frozen + merged + drawn
        before, weights = self.frozen + learner, base + learner / self.parts  # before: both whole, and then the parts
        peak = max(weights + moments + both, afterwards, before + weights * (self.parts > 1))
        disk = self.shape.weights * FLOAT + CHECKPOINTS * 3 * trained * FLOAT
        return StageMemory("sft", weights, gradients, moments, acts, drawn, 0, peak, disk)

    def _reward_model(self) -> StageMemory:
        members, top = self.recipe.reward.members, self.recipe.reward.trainable_layers
        learner, trained, states = self.network(learns=True, top=top), self.learns(top), self.states
        base = self.frozen / self.parts if self.rank else self.frozen
        weights = base + (members - 1) * learner + learner / self.parts
        prompt, answer, rows = self.lengths.usual_prompt, self.lengths.answer, 2 * self.recipe.reward.batch_size
        gradients, acts, both = self._learning(rows, prompt, answer, top, last=True, beside=2)
        moments = 2 * trained * FLOAT / self.parts
        before = self.frozen + members * learner
        disk = members * self.shape.weights * FLOAT + CHECKPOINTS * 3 * trained * FLOAT
        peak = max(weights + moments + both + states, before + states + (weights if self.parts > 1 else 0))
        return StageMemory("reward_model", weights, gradients, moments, acts + states, 0, 0, peak, disk)

    @property
    def proxy(self) -> float:
        """Bytes of the reward model, whose size is taken to be the policy's; 0 for a program."""
        part = Parts(self.recipe)
        if not part.is_model:
            return 0.0
        members = 1 if self.recipe.reward.combine == "weights" else self.recipe.reward.members
        return (
            self.frozen
            if self.recipe.reward.model
            else members * self.network(learns=True, top=self.recipe.reward.trainable_layers)
        )

    def _policy(self) -> StageMemory:
        policy, sampler = self.recipe.policy, self.recipe.sampler
        has_critic = policy.kind == "ppo" and policy.critic.trunk == "own"
        learners = 1 + has_critic
        online = policy.kind != "dpo" or policy.dpo.online
        learner, reference, whole = self.network(learns=True), self.frozen, self.proxy
        whole += ((sampler.engine.sync_every > 1) + sampler.engine.max_staleness) * learner
        if self.parts > 1 and self.rank and online:
            whole, reference = whole + reference, 0.0  # the base under adapters, which the reference is, too
        before = whole + reference + learners * learner
        weights = whole + (reference + learners * learner) / self.parts
        sequences = policy.batch_size * (2 if policy.kind == "dpo" else 1)
        per_update = sequences if policy.kind == "dpo" else -(-sequences // policy.minibatches)
        beside = 2 if policy.kind == "dpo" else policy.group.size if policy.kind in GROUPED else 1
        prompt, answer = self.lengths.usual_prompt, self.lengths.answer
        gradients, acts, both = self._learning(per_update, prompt, answer, policy.trainable_layers, beside=beside)
        gradients, moments = learners * gradients, learners * 2 * self.trained * FLOAT / self.parts
        here = online and sampler.engine.kind == "local"
        rollout = self.sampled(sequences, sampler.engine.quantize) if here else 0.0
        watched = self._evaluating(self.recipe.evaluation.step_prompts)
        others = (learners - 1) * self.trained * FLOAT / self.parts
        if self.parts > 1:  # whole weights are gathered to be read
            rollout += learner if online else 0.0
            watched += reference + learner
        peak = weights + moments + max(both + others, rollout, watched)
        if self.parts > 1:
            peak = max(peak, before + weights)
        disk = 2 * self.shape.weights * FLOAT + CHECKPOINTS * learners * 3 * self.trained * FLOAT
        return StageMemory("policy", weights, gradients, moments, acts, rollout, watched, peak, disk)

    def _evaluating(self, prompts: int) -> float:
        """Of one evaluation: the decoder of the policy that answers and its cache, or two models' distributions."""
        tokens = min(self.tokens, round(prompts * self.lengths.usual))
        copy = 0.0 if self.is_nf4 else sampling(self.shape, 1, 1, 1, self.widths.sampled)[0]
        return max(self.sampled(prompts), copy + compared(self.shape, tokens, 2))

    def _evaluation(self) -> StageMemory:
        policies = 1 if self.recipe.policy.kind == "best_of_n" else 3  # SFT's, the last, the best
        weights = self.frozen + (policies - 1) * self.network(learns=False) + self.proxy
        measured = self._evaluating(self.recipe.evaluation.final_prompts)
        return StageMemory("evaluation", weights, 0, 0, 0, 0, measured, weights + measured, 0)
