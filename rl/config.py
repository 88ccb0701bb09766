"""The schema of a recipe: `RunConfig` and the sections that are neither data, reward nor rollout.

Every default has its home in a dataclass; a recipe states only what departs from it. Imports
nothing heavy, so that a config is checked before torch or vLLM load.
"""

from dataclasses import dataclass, field
from enum import Enum

from data.bounds import too_small
from data.config import BudgetConfig, DataConfig, ModelConfig
from rewards.config import GateConfig, RewardConfig, VerifierConfig
from rl.algorithms.config import CorrectionConfig
from rl.run.config import GuardsConfig
from rollout.config import RolloutConfig


class Aggregation(Enum):
    """How per-token losses are averaged into one number (`rl.algorithms.aggregation`)."""

    token_mean = "token_mean"
    sequence_mean_token_mean = "sequence_mean_token_mean"
    sequence_mean_token_sum = "sequence_mean_token_sum"
    sequence_mean_token_sum_norm = "sequence_mean_token_sum_norm"


class KlEstimator(Enum):
    """Estimators of KL(policy, reference) per token (`rl.algorithms.kl`)."""

    k1 = "k1"
    k2 = "k2"
    k3 = "k3"


class DraftObjective(Enum):
    """Distances of a draft model from the policy (`rl.algorithms.draft_losses`)."""

    forward_kl = "forward_kl"
    reverse_kl = "reverse_kl"
    tvd_plus_plus = "tvd_plus_plus"


class SamplingFilter(Enum):
    """What must differ within a group that dynamic sampling keeps."""

    correctness = "correctness"
    """Verdicts, before any shaping (DAPO)."""
    reward = "reward"
    """Rewards of the `reward` option (DLER): a right answer that is too long differs."""


class Schedule(Enum):
    """Learning-rate schedules after warm-up."""

    constant = "constant"
    linear = "linear"
    cosine = "cosine"


class Offload(Enum):
    """What ZeRO keeps in the host's memory, where it does not take a device's."""

    none = "none"
    optimizer = "optimizer"
    """Adam's state and the fp32 weights; the step itself runs on the host (ZeRO-Offload)."""
    all = "all"
    """The parameters too, fetched layer by layer (ZeRO-Infinity); at stage 3."""


class TrackerMode(Enum):
    """Weights & Biases: `auto` is online with a key and offline without."""

    auto = "auto"
    online = "online"
    offline = "offline"
    off = "off"


@dataclass(kw_only=True)
class OversamplingConfig:
    """Prompts that dynamic sampling asks for at once, for each group that it needs.

    The factor is predicted from the shares of groups that the latest steps kept
    (`rl.algorithms.dynamic_sampling`). With `initial` and `highest` 1, as they are, what is dropped
    is drawn again in further rounds.
    """

    history_steps: int = 20
    initial: float = 1.0
    """The factor of the first step."""
    lowest: float = 1.0
    highest: float = 1.0

    def problems(self) -> list[str]:
        found = too_small("algorithm.oversampling", self, history_steps=1)
        if not (self.initial >= 1 and 1 <= self.lowest <= self.highest):
            found.append(
                f"algorithm.oversampling: initial={self.initial}, lowest={self.lowest}, "
                f"highest={self.highest}: set initial>=1 and 1<=lowest<=highest"
            )
        return found

    @property
    def asks_for_more(self) -> bool:
        return max(self.initial, self.highest) > 1


@dataclass(kw_only=True)
class AlgorithmConfig:
    """Base of the `algorithm` group: what every policy-gradient method shares."""

    group_size: int = 8
    """Completions sampled per prompt (G)."""
    num_minibatches: int = 1
    """Optimizer steps taken on one batch of rollouts."""
    aggregation: Aggregation = Aggregation.token_mean
    kl_coefficient: float = 0.0
    """Weight of KL(policy, initial model) in the loss, by `kl_estimator`."""
    kl_estimator: KlEstimator = KlEstimator.k3
    kl_reward_coefficient: float = 0.0
    """Weight of the same KL in the reward, token by token, by k1. Where both weights are 0 no
    reference model is loaded."""
    entropy_coefficient: float = 0.0
    """Weight of the policy's entropy at trained tokens, which the loss rewards; 0 only logs it."""
    kl_cov_fraction: float = 0.0
    """Share of the tokens of an optimizer step that KL-Cov holds near the policy that began the
    update: those of the largest covariance of log-prob and advantage (arXiv:2505.22617)."""
    kl_cov_coefficient: float = 1.0
    """Weight of the distance of those tokens in the loss."""
    positive_coefficient: float = 0.0
    """Weight of the negative log-likelihood of right answers in the loss, a mean over the tokens of
    all right answers of an optimizer step (VAPO, arXiv:2504.05118). Verdicts say what is right,
    whatever the reward makes of it."""
    dynamic_sampling: bool = False
    """Drop groups whose completions do not differ, and draw further prompts in their place."""
    dynamic_sampling_by: SamplingFilter = SamplingFilter.correctness
    oversampling: OversamplingConfig = field(default_factory=OversamplingConfig)

    def problems(self) -> list[str]:
        found = []
        if self.group_size < 2:
            found.append(
                f"algorithm.group_size={self.group_size}: a group baseline needs at least 2 "
                "completions; set algorithm.group_size>=2"
            )
        found += too_small(
            "algorithm",
            self,
            num_minibatches=1,
            kl_coefficient=0,
            kl_reward_coefficient=0,
            entropy_coefficient=0,
            positive_coefficient=0,
        )
        if not 0 <= self.kl_cov_fraction <= 1 or self.kl_cov_coefficient < 0:
            found.append(
                f"algorithm.kl_cov_fraction={self.kl_cov_fraction}, algorithm.kl_cov_coefficient="
                f"{self.kl_cov_coefficient}: set a share of 0 (none) to 1, and 0 or more"
            )
        if self.kl_cov_fraction > 0 and self.num_minibatches == 1:
            found.append(
                f"algorithm.kl_cov_fraction={self.kl_cov_fraction} with algorithm.num_minibatches="
                "1: the policy is still the one that began the update, so the term is 0; set "
                "algorithm.num_minibatches>=2 or algorithm.kl_cov_fraction=0"
            )
        if self.oversampling.asks_for_more and not self.dynamic_sampling:
            found.append(
                "algorithm.oversampling without algorithm.dynamic_sampling: nothing is dropped, so "
                "nothing more is needed; set algorithm.dynamic_sampling=true, or initial and "
                "highest to 1"
            )
        return found + self.oversampling.problems()

    @property
    def needs_reference(self) -> bool:
        """Whether the initial model's log-probs are asked for."""
        return max(self.kl_coefficient, self.kl_reward_coefficient) > 0


class Backbone(Enum):
    """Whose hidden states a critic's values are read off, by a linear head."""

    separate = "separate"
    """Those of a second model, which starts as the initial policy and learns as a whole."""
    shared = "shared"
    """The policy's own. The head alone learns: the value loss has no part in the policy's gradient,
    and no memory beside the head's. It wants a larger rate, such as 0.1 / hidden size: one step of
    Adam moves a value by up to the rate times the sum of the state's magnitudes."""


@dataclass(kw_only=True)
class CriticConfig:
    """The value model of methods that have one, under an engine and a rate of its own."""

    backbone: Backbone = Backbone.separate
    learning_rate: float = 2e-6
    warmup_steps: int = 10
    """First steps that train the critic alone, on what the initial policy samples: with values that
    mean nothing yet, the policy would learn noise. They count as steps of the run."""
    target_lambda: float = 1.0
    """Lambda of the value targets; 1 is the reward that came, without bootstrapping."""
    clip_low: float = 0.5
    clip_high: float = 0.6
    """In an update a value is pushed no further than this below or above where it began."""
    aggregation: Aggregation = Aggregation.sequence_mean_token_mean

    def problems(self) -> list[str]:
        found = []
        if self.learning_rate <= 0:
            found.append(f"algorithm.critic.learning_rate={self.learning_rate}: set it above 0")
        found += too_small("algorithm.critic", self, warmup_steps=0)
        if not 0 <= self.target_lambda <= 1:
            found.append(f"algorithm.critic.target_lambda={self.target_lambda}: set it in 0 to 1")
        if self.clip_low <= 0 or self.clip_high <= 0:
            found.append(
                f"algorithm.critic.clip_low={self.clip_low}, algorithm.critic.clip_high="
                f"{self.clip_high}: set both above 0"
            )
        return found


@dataclass(kw_only=True)
class ClippedConfig(AlgorithmConfig):
    """Base of the algorithms whose loss is PPO's clipped surrogate."""

    clip_low: float = 0.2
    clip_high: float = 0.28
    """The surrogate's ratio is clipped to [1 - clip_low, 1 + clip_high] (DAPO's clip-higher)."""
    dual_clip: float = 0.0
    """Where A < 0 the loss is at most dual_clip |A| (arXiv:1912.09729); 0 is no such bound."""

    def problems(self) -> list[str]:
        found = super().problems()
        if not 0 < self.clip_low < 1:
            found.append(f"algorithm.clip_low={self.clip_low}: set 0 < algorithm.clip_low < 1")
        if self.clip_high <= 0:
            found.append(f"algorithm.clip_high={self.clip_high}: set algorithm.clip_high>0")
        if self.dual_clip and self.dual_clip <= 1:
            found.append(
                f"algorithm.dual_clip={self.dual_clip}: set 0 (none) or more than 1, such as 3"
            )
        return found


@dataclass(kw_only=True)
class ActorCriticConfig(ClippedConfig):
    """Base of the algorithms whose advantages are per token and come from a critic."""

    discount: float = 1.0
    """Gamma: what a reward is worth one token earlier."""
    critic: CriticConfig = field(default_factory=CriticConfig)

    def problems(self) -> list[str]:
        found = super().problems() + self.critic.problems()
        if not 0 < self.discount <= 1:
            found.append(f"algorithm.discount={self.discount}: set 0 < algorithm.discount <= 1")
        if self.kl_reward_coefficient:
            found.append(
                f"algorithm.kl_reward_coefficient={self.kl_reward_coefficient} with a critic: its "
                "rewards come with the last token alone; set algorithm.kl_coefficient, the KL in "
                "the loss, and algorithm.kl_reward_coefficient=0"
            )
        return found


@dataclass(kw_only=True)
class LimitConfig:
    """Base of the `limit` group: how far a generation may run."""

    max_response_tokens: int = 4096
    """The longest response of the run; the engine's context holds prompt plus this."""

    def problems(self) -> list[str]:
        return too_small("limit", self, max_response_tokens=1)


@dataclass(kw_only=True)
class ConstantLimitConfig(LimitConfig):
    """Every prompt, every step: the same number of tokens."""

    cap_tokens: int = 0
    """Tokens allowed in training; 0 is `max_response_tokens`, which evaluations always allow."""

    def problems(self) -> list[str]:
        if 0 <= self.cap_tokens <= self.max_response_tokens:
            return super().problems()
        return [
            *super().problems(),
            f"limit.cap_tokens={self.cap_tokens} with limit.max_response_tokens="
            f"{self.max_response_tokens}: set 0 (no cap) or at most the longest response",
        ]


@dataclass(kw_only=True)
class AllocationConfig:
    """Base of the `allocation` group, and `uniform`: one group for each prompt that is drawn."""

    def problems(self) -> list[str]:
        return []


@dataclass(kw_only=True)
class LoraConfig:
    """Low-rank adapters (peft); rank 0 trains all weights."""

    rank: int = 0
    alpha: float = 32.0
    dropout: float = 0.0
    target_modules: list[str] = field(default_factory=lambda: ["all-linear"])

    def problems(self) -> list[str]:
        found = too_small("learner.lora", self, rank=0)
        if not self.alpha > 0:
            found.append(f"learner.lora.alpha={self.alpha}: set it above 0")
        if not 0 <= self.dropout < 1:
            found.append(f"learner.lora.dropout={self.dropout}: set 0 <= dropout < 1")
        return found


@dataclass(kw_only=True)
class DraftLearnerConfig:
    """How `rollout.draft_model` learns to draft what the policy says, from the policy's rollouts.

    The engine verifies drafts with any weights; these decide how many pass.
    """

    learning_rate: float = 0.0
    """0 leaves the draft model as it is, and none is loaded beside the policy."""
    loss: DraftObjective = DraftObjective.forward_kl
    num_minibatches: int = 4
    """Optimizer steps of the draft model on one batch of rollouts, after the policy's own."""

    def problems(self) -> list[str]:
        found = []
        if self.learning_rate < 0:
            found.append(
                f"learner.draft_model.learning_rate={self.learning_rate}: set it to 0 (it does not "
                "learn) or more"
            )
        return found + too_small("learner.draft_model", self, num_minibatches=1)


BUCKET_VALUES = 500_000_000
"""Gradients that ZeRO reduces at a time, at most: DeepSpeed's default `reduce_bucket_size`."""


@dataclass(kw_only=True)
class LearnerConfig:
    """Base of the `learner` group; `deepspeed` is the one learner."""

    zero_stage: int = 2
    """DeepSpeed ZeRO stage: 0 none, 1 optimizer, 2 gradients, 3 parameters are sharded."""
    offload: Offload = Offload.none
    """What of each rank's shard lies in the host's memory; see docs/scaling.md for its price."""
    learning_rate: float = 1e-6
    schedule: Schedule = Schedule.constant
    warmup_steps: int = 0
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    max_grad_norm: float = 1.0
    """A larger norm is scaled down to it; 0 scales nothing."""
    max_tokens_per_microbatch: int = 16384
    """Prompt and response tokens, padding included, of one forward pass on one rank."""
    share_prefixes: bool = False
    """Lay the policy's rows out as one sequence without padding, in which what they share (the
    prompt of a group, segments of a tree) is computed once. On GPUs by FlexAttention; on the CPU a
    pass of L tokens computes L^2 scores and holds a mask of as many: it pays there for prompts that
    are longer than responses, a group a pass (`max_tokens_per_microbatch`). Critic and draft model
    read padded rows."""
    sequence_parallel: int = 1
    """Neighbouring ranks that cut every sequence of their common micro-batches among them, by
    DeepSpeed-Ulysses; such a micro-batch holds as many times the tokens of one rank."""
    logprob_chunk_tokens: int = 2048
    """Positions whose logits exist at once: peak memory is this times the vocabulary."""
    gradient_checkpointing: bool = False
    num_threads: int = 0
    """CPU threads of each learner process; 0 chooses from the core count."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    draft_model: DraftLearnerConfig = field(default_factory=DraftLearnerConfig)

    def problems(self) -> list[str]:
        found = []
        if self.zero_stage not in (0, 1, 2, 3):
            found.append(f"learner.zero_stage={self.zero_stage}: set 0, 1, 2 or 3")
        if self.offload is Offload.optimizer and self.zero_stage == 0:
            found.append(
                "learner.offload=optimizer with learner.zero_stage=0: without ZeRO nothing is "
                "offloaded; set learner.zero_stage to 1, 2 or 3, or learner.offload=none"
            )
        if self.offload is Offload.all and self.zero_stage != 3:
            found.append(
                f"learner.offload=all with learner.zero_stage={self.zero_stage}: below stage 3 "
                "every rank computes with whole parameters; set learner.zero_stage=3 or "
                "learner.offload=optimizer"
            )
        if self.learning_rate <= 0:
            found.append(f"learner.learning_rate={self.learning_rate}: set learner.learning_rate>0")
        found += too_small(
            "learner",
            self,
            warmup_steps=0,
            weight_decay=0,
            max_grad_norm=0,
            max_tokens_per_microbatch=1,
            logprob_chunk_tokens=1,
            num_threads=0,
        )
        if not (0 <= self.adam_beta1 < 1 and 0 <= self.adam_beta2 < 1):
            found.append(
                f"learner.adam_beta1={self.adam_beta1}, learner.adam_beta2={self.adam_beta2}: set "
                "both to 0 or more and below 1"
            )
        if self.sequence_parallel < 1:
            found.append(
                f"learner.sequence_parallel={self.sequence_parallel}: set it to 1 (sequences stay "
                "whole) or more"
            )
        if self.share_prefixes and self.sequence_parallel > 1:
            found.append(
                f"learner.sequence_parallel={self.sequence_parallel} with "
                "learner.share_prefixes=true: rows that share prefixes are one sequence, and it is "
                "not cut; set learner.sequence_parallel=1 or learner.share_prefixes=false"
            )
        if self.lora.rank and self.zero_stage == 3:
            found.append(
                f"learner.lora.rank={self.lora.rank} with learner.zero_stage=3: merged weights are "
                "published from whole matrices; set learner.zero_stage=2 or learner.lora.rank=0"
            )
        if self.draft_model.learning_rate and self.zero_stage == 3:
            found.append(
                f"learner.draft_model.learning_rate={self.draft_model.learning_rate} with "
                "learner.zero_stage=3: the draft model learns from the policy's whole output "
                "matrix; set learner.zero_stage=2 or learner.draft_model.learning_rate=0"
            )
        return found + self.lora.problems() + self.draft_model.problems()


@dataclass(kw_only=True)
class EvaluationConfig:
    """Held-out evaluation before and after training, and every `every_steps`."""

    num_problems: int = 0
    """The first N held-out problems; 0 is all of them."""
    samples_per_problem: int = 4
    temperature: float = 1.0
    top_p: float = 1.0
    every_steps: int = 0
    """0 evaluates before and after only."""
    greedy: bool = True
    """Also decode each problem once at temperature 0."""
    caps: list[int] = field(default_factory=list)
    """Tokens at which accuracy is read off again, from the same completions; empty halves
    `limit.max_response_tokens` four times."""

    def problems(self) -> list[str]:
        found = []
        if self.num_problems < 0:
            found.append(f"evaluation.num_problems={self.num_problems}: set it to 0 (all) or more")
        if self.temperature <= 0 or not 0 < self.top_p <= 1:
            found.append(
                f"evaluation.temperature={self.temperature}, evaluation.top_p={self.top_p}: set a "
                "positive temperature and 0 < top_p <= 1 (evaluation.greedy adds temperature 0)"
            )
        if min(self.caps, default=1) < 1:
            found.append(f"evaluation.caps={self.caps}: set caps of 1 token or more")
        return found + too_small("evaluation", self, samples_per_problem=1, every_steps=0)


@dataclass(kw_only=True)
class CheckpointConfig:
    every_steps: int = 0
    """0 saves at the end only, and when a signal stops the run."""
    keep_last: int = 2
    keep_best: int = 0
    """Further checkpoints that are kept: those of the highest eval/accuracy, on a tie of the fewest
    eval/response_tokens. Only steps that are both saved and evaluated compete."""

    def problems(self) -> list[str]:
        return too_small("checkpoint", self, every_steps=0, keep_last=1, keep_best=0)


@dataclass(kw_only=True)
class LogConfig:
    completions_per_step: int = 64
    """Completions written to completions/step_*.parquet."""
    table_rows: int = 32
    """Completions in a W&B table; 0 logs no tables."""
    table_every_steps: int = 10
    """Steps between tables of training completions; 0 logs those of evaluations only."""
    wandb: TrackerMode = TrackerMode.auto
    project: str = "laconic"
    progress: bool = True

    def problems(self) -> list[str]:
        return too_small("log", self, completions_per_step=0, table_rows=0, table_every_steps=0)


@dataclass(kw_only=True)
class RunSection:
    dir: str = ""
    """The run's folder; empty names runs/<recipe>-<id>. It must not exist or be empty."""


@dataclass(kw_only=True)
class RunConfig:
    """One run, resolved: what a recipe and its overrides become."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    verifier: VerifierConfig = field(default_factory=VerifierConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    algorithm: AlgorithmConfig = field(default_factory=AlgorithmConfig)
    correction: CorrectionConfig = field(default_factory=CorrectionConfig)
    limit: LimitConfig = field(default_factory=LimitConfig)
    allocation: AllocationConfig = field(default_factory=AllocationConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    guards: GuardsConfig = field(default_factory=GuardsConfig)
    log: LogConfig = field(default_factory=LogConfig)
    run: RunSection = field(default_factory=RunSection)
    seed: int = 0
    num_steps: int = 100
    prompts_per_step: int = 32
    """Prompts of one update (P); each is sampled algorithm.group_size times."""
    deterministic: bool = False
    """A seed per completion, requests admitted together on an empty prefix cache, deterministic
    kernels where torch has them: with the same thread counts and processes a run repeats bit for
    bit. Trees then grow in step: their segments wait for each other."""
    resume: str = ""
    """A run's folder, or `latest`; the recipe saved there wins."""
