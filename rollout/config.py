"""Options of the rollout engine and the stream; imports nothing heavy."""

import math
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any

from data.bounds import too_small
from rollout.drafting.config import DraftModelConfig, HistoryConfig
from rollout.trees.config import TreeConfig


class Placement(Enum):
    """Where engines run, relative to the learner's devices."""

    auto = "auto"
    cpu = "cpu"
    separate = "separate"
    shared = "shared"
    remote = "remote"


class Speculation(Enum):
    """Who drafts: vLLM's own methods, or `history`, our own from a prompt's earlier outputs.

    `draft_model` draws its drafts from a second, smaller model; the others copy from texts.
    """

    none = "none"
    ngram = "ngram"
    suffix = "suffix"
    history = "history"
    draft_model = "draft_model"


class Order(Enum):
    """Which prompts of a step begin first, by how long their answers were in earlier epochs."""

    none = "none"
    longest_first = "longest_first"
    shortest_first = "shortest_first"


@dataclass(kw_only=True)
class RolloutConfig:
    """Base of the `rollout` group: how completions are sampled, whatever the engine."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_prompt_tokens: int = 1024
    """A longer prompt is refused before the run starts."""
    max_staleness: int = 0
    """Weight versions between sampling a token and training on it; 0 is the synchronous loop."""
    schedule: Order = Order.none
    """Which prompts of a step begin first, while more answers wait than the engine decodes at once:
    `longest_first` ends a step soonest, `none` keeps the order in which they were drawn."""
    window_tokens: int = 0
    """Tokens that an answer is sampled in one step; a longer one goes on in later steps, behind its
    tokens, by the weights of then (T-PPO). 0 samples every answer in one go."""
    oversample: float = 1.0
    """Groups that run in a step for each that it needs; when it has its groups the others are cut,
    and go on behind their tokens in the next step (APRIL). Nothing is sampled while the learner
    updates. At most `max_staleness` + 1; 1 cuts nothing."""
    tree: TreeConfig = field(default_factory=partial(TreeConfig, depth=1))
    """How the answers to a prompt share their first segments; `depth` 1 is no tree."""
    max_resampling_rounds: int = 10
    """How often dynamic sampling may draw again for one batch before the run stops."""
    probe_tokens: int = 256
    """Tokens sampled after every weight sync to compare engine and learner log-probs; 0 is off."""
    probe_tolerance: float = 0.0
    """Largest allowed log-prob gap of the probe; 0 chooses 1e-3 in float32 and 0.25 in bfloat16."""
    sync_bucket_mib: int = 64
    """Weights travel to the engine in buckets of about this size."""
    sync_anchor_versions: int = 50
    """Versions from one that is sent whole to the next. Between them an engine gets the layers
    that changed; under LoRA, and with frozen parts, those are not all."""
    hang_seconds: float = 120.0
    """An engine that has requests and returns no token for so long is killed: it hangs."""
    max_restarts: int = 3
    """Engines that may be lost and replaced within the window; 0 ends the run with the first."""
    restart_window_seconds: float = 3600.0

    def problems(self) -> list[str]:
        found = []
        if self.temperature <= 0:
            found.append(
                f"rollout.temperature={self.temperature}: training samples; "
                "set rollout.temperature>0"
            )
        if not 0 < self.top_p <= 1:
            found.append(f"rollout.top_p={self.top_p}: set 0 < rollout.top_p <= 1")
        if self.window_tokens < 0:
            found.append(f"rollout.window_tokens={self.window_tokens}: set it to 0 (none) or more")
        if not 1 <= self.oversample < math.inf:
            found.append(f"rollout.oversample={self.oversample}: set it to 1 (none) or more")
        found += self.tree.problems()
        found += too_small(
            "rollout",
            self,
            max_prompt_tokens=1,
            max_staleness=0,
            max_resampling_rounds=1,
            probe_tokens=0,
            probe_tolerance=0,
            sync_bucket_mib=1,
            max_restarts=0,
        )
        seconds = {
            "hang_seconds": self.hang_seconds,
            "restart_window_seconds": self.restart_window_seconds,
        }
        found += [
            f"rollout.{name}={value}: set it above 0"
            for name, value in seconds.items()
            if not value > 0
        ]
        if self.sync_anchor_versions < 1:
            found.append(
                f"rollout.sync_anchor_versions={self.sync_anchor_versions}: set it to 1 (every "
                "version is sent whole) or more"
            )
        return found


@dataclass(kw_only=True)
class VllmConfig(RolloutConfig):
    """vLLM's `AsyncLLM`, in the process tree of rank 0."""

    placement: Placement = Placement.auto
    devices: int = 0
    """GPUs given to the engines under `separate`; 0 is all that the learner leaves."""
    replicas: int = 1
    """Engines of this process tree on the CPU, which share its threads; one that is lost costs the
    others nothing. On GPUs vLLM replicates over `devices` by itself."""
    max_num_seqs: int = 256
    """Sequences that one engine decodes at once."""
    kv_cache_gib: float = 1.0
    """Key-value cache of one engine on the CPU, in GiB (a GPU uses `gpu_memory_utilization`)."""
    gpu_memory_utilization: float = 0.85
    enforce_eager: bool = False
    """Skip CUDA graphs; always on on the CPU, where compiled graphs would keep old weights."""
    speculation: Speculation = Speculation.none
    num_speculative_tokens: int = 8
    """Tokens of the longest draft."""
    history: HistoryConfig = field(default_factory=HistoryConfig)
    draft_model: DraftModelConfig = field(default_factory=DraftModelConfig)
    num_threads: int = 0
    """CPU threads of the engine; 0 leaves the learner one core and takes the others."""
    urls: list[str] = field(default_factory=list)
    """Replicas started by `laconic serve`, for `remote`."""
    keep_cache_on_sync: bool = False
    """Answers in flight go on with the keys and values of the weights that computed them, instead
    of computing them again with the new ones."""
    engine_args: dict[str, Any] = field(default_factory=dict)
    """Further keyword arguments of vLLM's `AsyncEngineArgs`."""
    start_seconds: float = 600.0
    """An engine that is not ready after so long is killed: it does not start."""

    def problems(self) -> list[str]:
        found = super().problems()
        if self.temperature > 2 or 0 < self.temperature < 0.01:
            found.append(
                f"rollout.temperature={self.temperature}: vLLM samples at 0.01 to 2; "
                "set rollout.temperature in that range"
            )
        found += too_small("rollout", self, devices=0, replicas=1, max_num_seqs=1, num_threads=0)
        found += self._replica_problems()
        found += [
            f"rollout.{name}={value}: set it above 0"
            for name, value in (
                ("kv_cache_gib", self.kv_cache_gib),
                ("start_seconds", self.start_seconds),
            )
            if not value > 0
        ]
        if not 0 < self.gpu_memory_utilization <= 1:
            found.append(
                f"rollout.gpu_memory_utilization={self.gpu_memory_utilization}: set the share of a "
                "GPU's memory that an engine takes, above 0 and at most 1"
            )
        return found + self._speculation_problems()

    def _speculation_problems(self) -> list[str]:
        found = self.history.problems()
        longest, fixed = self.num_speculative_tokens, self.history.draft_length
        if self.speculation is not Speculation.none and not 1 <= longest <= 128:
            found.append(f"rollout.num_speculative_tokens={longest}: set 1 to 128")
        if fixed > longest:
            found.append(
                f"rollout.history.draft_length={fixed} with rollout.num_speculative_tokens="
                f"{longest}: no draft is longer than these; set draft_length to {longest} or less, "
                "or raise num_speculative_tokens"
            )
        drafts_by_model = self.speculation is Speculation.draft_model
        if drafts_by_model != bool(self.draft_model.path):
            found.append(
                f"rollout.speculation={self.speculation.value} with rollout.draft_model.path="
                f"{self.draft_model.path!r}: a draft model is set by both; set "
                "rollout.speculation=draft_model and rollout.draft_model.path=HUB_NAME_OR_FOLDER, "
                "or neither"
            )
        return found

    def _replica_problems(self) -> list[str]:
        found = []
        if self.replicas > 1 and self.placement not in (Placement.auto, Placement.cpu):
            found.append(
                f"rollout.replicas={self.replicas} with rollout.placement={self.placement.value}: "
                "on GPUs vLLM replicates over rollout.devices; set rollout.replicas=1, or start "
                "replicas with `laconic serve` and set rollout.placement=remote"
            )
        if (self.placement is Placement.remote) != bool(self.urls):
            found.append(
                f"rollout.placement={self.placement.value} with rollout.urls={self.urls}: start "
                "replicas with `laconic serve`, then set rollout.placement=remote and "
                "rollout.urls=[http://host:port]; other placements have no urls"
            )
        if wrong := [url for url in self.urls if not url.startswith(("http://", "https://"))]:
            found.append(f"rollout.urls={wrong}: write http://host:port")
        if len(set(self.urls)) < len(self.urls):
            found.append(f"rollout.urls={self.urls}: name each replica once")
        return found


@dataclass(kw_only=True)
class TransformersConfig(RolloutConfig):
    """transformers in rank 0's own process: for machines without vLLM, and for tiny models."""

    max_num_seqs: int = 256
    """Sequences that the engine decodes at once."""

    def problems(self) -> list[str]:
        return super().problems() + too_small("rollout", self, max_num_seqs=1)


@dataclass(kw_only=True)
class RecordingConfig:
    """Beside an engine's options: training takes recorded answers of the initial policy.

    The engine samples them once, before training, and then the evaluations.
    """

    recording: str = ""
    """A file that `laconic record` made; empty records at the start of the run, into its folder."""
    samples_per_prompt: int = 16
    """Answers recorded of each prompt (K): what the initial policy is judged by."""

    def problems(self) -> list[str]:
        if self.samples_per_prompt >= 2:
            return []
        return [f"rollout.samples_per_prompt={self.samples_per_prompt}: set it to 2 or more"]


@dataclass(kw_only=True)
class ReplayConfig(RecordingConfig, VllmConfig):
    """`rollout: replay`: recorded answers, and vLLM for all that is not trained on."""

    def problems(self) -> list[str]:
        return RecordingConfig.problems(self) + VllmConfig.problems(self)


@dataclass(kw_only=True)
class TransformersReplayConfig(RecordingConfig, TransformersConfig):
    """`rollout: replay_transformers`: recorded answers, and transformers for all the rest."""

    def problems(self) -> list[str]:
        return RecordingConfig.problems(self) + TransformersConfig.problems(self)
