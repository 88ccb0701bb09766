"""The option groups of a recipe: each name with its config class and its builder.

A new algorithm, reward, gate or limit is one line here. A builder that needs torch, vLLM or
DeepSpeed is named `module:function` and imported when the object is built, so that a recipe is
checked before anything heavy loads.
"""

from collections.abc import Callable
from inspect import signature
from pkgutil import resolve_name
from typing import Any, NamedTuple

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from data.budgets import (
    DualBudgetConfig,
    EffortBudgetConfig,
    ExactBudgetConfig,
    MaxBudgetConfig,
    NoBudgetConfig,
)
from rewards.config import CustomRewardConfig
from rewards.correct import CorrectConfig
from rewards.gates.custom import CustomGateConfig
from rewards.gates.grpo_lambda import ThresholdConfig, TopFractionConfig
from rewards.gates.none import NoGateConfig
from rewards.gates.some_correct import SomeCorrectConfig
from rewards.length.cosine import CosineConfig
from rewards.length.da_dler import DaDlerConfig
from rewards.length.dler import DlerCodeConfig, DlerConfig
from rewards.length.dot import DotConfig
from rewards.length.effort import EffortConfig, GroupEffortConfig, MovingEffortConfig
from rewards.length.hapo import HapoConfig
from rewards.length.kimi import KimiConfig
from rewards.length.lcpo import LcpoDualConfig, LcpoExactConfig, LcpoMaxCodeConfig, LcpoMaxConfig
from rewards.length.o1_pruner import O1PrunerCodeConfig, O1PrunerConfig
from rewards.length.overlong import OverlongConfig
from rewards.length.shorter_better import ShorterBetterConfig
from rewards.length.sigmoid import SigmoidConfig
from rewards.length.slpo import SlpoConfig
from rewards.verifiers.custom import CustomVerifierConfig
from rewards.verifiers.exact import ExactConfig
from rewards.verifiers.math import MathConfig
from rewards.verifiers.multiple_choice import MultipleChoiceConfig
from rewards.verifiers.string import StringConfig
from rl.algorithms.config import (
    A3poConfig,
    CorrectionConfig,
    GeometricConfig,
    IcePopConfig,
    K3Config,
    OpsmConfig,
    SequenceMaskedConfig,
    SequenceTruncatedConfig,
    TruncatedConfig,
)
from rl.algorithms.table import ACTOR_CRITICS, ALGORITHMS
from rl.allocation.config import GvmConfig, VarianceConfig
from rl.config import (
    AllocationConfig,
    ConstantLimitConfig,
    LearnerConfig,
    RunConfig,
)
from rl.limits.custom import CustomLimitConfig
from rl.limits.palu import PaluAllConfig, PaluConfig
from rl.limits.siri import SiriCosineConfig, SiriStairConfig, SiriStairCosineConfig
from rl.limits.staged import StagedConfig
from rollout.config import (
    ReplayConfig,
    TransformersConfig,
    TransformersReplayConfig,
    VllmConfig,
)


class Option(NamedTuple):
    """One choice of a group: its schema, and what makes the object from an instance of it."""

    config: type[Any]
    build: Callable[..., Any] | str


Groups = dict[str, dict[str, Option]]

GROUPS: Groups = {
    "budget": {
        "none": Option(NoBudgetConfig, "data.budgets:build_none"),
        "exact": Option(ExactBudgetConfig, "data.budgets:build_draw"),
        "max": Option(MaxBudgetConfig, "data.budgets:build_draw"),
        "dual": Option(DualBudgetConfig, "data.budgets:build_draw"),
        "effort": Option(EffortBudgetConfig, "data.budgets:build_draw"),
    },
    "verifier": {
        "math": Option(MathConfig, "rewards.verifiers.math:build_verifier"),
        "exact": Option(ExactConfig, "rewards.verifiers.exact:build_verifier"),
        "string": Option(StringConfig, "rewards.verifiers.string:build_verifier"),
        "multiple_choice": Option(
            MultipleChoiceConfig, "rewards.verifiers.multiple_choice:build_verifier"
        ),
        "custom": Option(CustomVerifierConfig, "rewards.verifiers.custom:build_verifier"),
    },
    "reward": {
        "correct": Option(CorrectConfig, "rewards.correct:build_reward"),
        "sigmoid": Option(SigmoidConfig, "rewards.length.sigmoid:build_reward"),
        "shorter_better": Option(ShorterBetterConfig, "rewards.length.shorter_better:build_reward"),
        "slpo": Option(SlpoConfig, "rewards.length.slpo:build_reward"),
        "kimi": Option(KimiConfig, "rewards.length.kimi:build_reward"),
        "cosine": Option(CosineConfig, "rewards.length.cosine:build_reward"),
        "overlong": Option(OverlongConfig, "rewards.length.overlong:build_reward"),
        "lcpo_exact": Option(LcpoExactConfig, "rewards.length.lcpo:build_exact"),
        "lcpo_max": Option(LcpoMaxConfig, "rewards.length.lcpo:build_max"),
        "lcpo_max_code": Option(LcpoMaxCodeConfig, "rewards.length.lcpo:build_max_code"),
        "lcpo_dual": Option(LcpoDualConfig, "rewards.length.lcpo:build_dual"),
        "hapo": Option(HapoConfig, "rewards.length.hapo:build_reward"),
        "effort": Option(EffortConfig, "rewards.length.effort:build_reward"),
        "effort_group": Option(GroupEffortConfig, "rewards.length.effort:build_group"),
        "effort_moving": Option(MovingEffortConfig, "rewards.length.effort:build_moving"),
        "dler": Option(DlerConfig, "rewards.length.dler:build_reward"),
        "dler_code": Option(DlerCodeConfig, "rewards.length.dler:build_code_reward"),
        "da_dler": Option(DaDlerConfig, "rewards.length.da_dler:build_reward"),
        "dot": Option(DotConfig, "rewards.length.dot:build_reward"),
        "o1_pruner": Option(O1PrunerConfig, "rewards.length.o1_pruner:build_reward"),
        "o1_pruner_code": Option(O1PrunerCodeConfig, "rewards.length.o1_pruner:build_code_reward"),
        "custom": Option(CustomRewardConfig, "rewards.custom:build_reward"),
    },
    "gate": {
        "none": Option(NoGateConfig, "rewards.gates.none:build_gate"),
        "some_correct": Option(SomeCorrectConfig, "rewards.gates.some_correct:build_gate"),
        "grpo_lambda": Option(TopFractionConfig, "rewards.gates.grpo_lambda:build_top_fraction"),
        "grpo_lambda_threshold": Option(
            ThresholdConfig, "rewards.gates.grpo_lambda:build_threshold"
        ),
        "custom": Option(CustomGateConfig, "rewards.gates.custom:build_gate"),
    },
    "algorithm": {
        name: Option(algorithm.config, algorithm.advantages)
        for name, algorithm in ALGORITHMS.items()
    }
    | {
        name: Option(algorithm.config, algorithm.estimate)
        for name, algorithm in ACTOR_CRITICS.items()
    },
    "correction": {
        "none": Option(CorrectionConfig, "rl.learner.correction:uncorrected"),
        "truncated": Option(TruncatedConfig, "rl.learner.correction:truncated"),
        "icepop": Option(IcePopConfig, "rl.learner.correction:icepop"),
        "sequence_truncated": Option(
            SequenceTruncatedConfig, "rl.learner.correction:sequence_truncated"
        ),
        "sequence_masked": Option(SequenceMaskedConfig, "rl.learner.correction:sequence_masked"),
        "geometric": Option(GeometricConfig, "rl.learner.correction:geometric"),
        "k3": Option(K3Config, "rl.learner.correction:k3_bounded"),
        "opsm": Option(OpsmConfig, "rl.learner.correction:opsm"),
        "a3po": Option(A3poConfig, "rl.learner.correction:truncated"),
    },
    "limit": {
        "constant": Option(ConstantLimitConfig, "rl.limits.constant:build_limit"),
        "staged": Option(StagedConfig, "rl.limits.staged:build_limit"),
        "siri_cosine": Option(SiriCosineConfig, "rl.limits.siri:build_cosine"),
        "siri_stair_cosine": Option(SiriStairCosineConfig, "rl.limits.siri:build_stair_cosine"),
        "siri_stair": Option(SiriStairConfig, "rl.limits.siri:build_stair"),
        "palu": Option(PaluConfig, "rl.limits.palu:build_limit"),
        "palu_all": Option(PaluAllConfig, "rl.limits.palu:build_limit_all"),
        "custom": Option(CustomLimitConfig, "rl.limits.custom:build_limit"),
    },
    "allocation": {
        "uniform": Option(AllocationConfig, "rl.allocation.uniform:build_uniform"),
        "gvm": Option(GvmConfig, "rl.allocation.gvm:build_gvm"),
        "variance": Option(VarianceConfig, "rl.allocation.variance:build_variance"),
    },
    "rollout": {
        "vllm": Option(VllmConfig, "rollout.vllm.replicas:start_rollout"),
        "transformers": Option(TransformersConfig, "rollout.transformers_start:start_engine"),
        "replay": Option(ReplayConfig, "rollout.vllm.replicas:start_rollout"),
        "replay_transformers": Option(
            TransformersReplayConfig, "rollout.transformers_start:start_engine"
        ),
    },
    "learner": {
        "deepspeed": Option(LearnerConfig, "rl.learner.deepspeed_learner:DeepSpeedLearner")
    },
}

UNCHOSEN = {
    "budget": "none",
    "verifier": "math",
    "gate": "none",
    "correction": "truncated",
    "allocation": "uniform",
}
"""Options of groups that a recipe need not mention."""

YAML_GROUPS = ("model", "data")
"""Groups whose choices are YAML files: data, not options."""


def fill_config_store(groups: Groups = GROUPS) -> None:
    """Makes `schema` and every option known to Hydra; called from the entry, never at import.

    What the store holds already is not made again: that is a third of composing a recipe.
    """
    store = ConfigStore.instance()
    store.store(name="schema", node=RunConfig)
    for group, options in groups.items():
        stored = store.repo.get(group, {})
        for name, option in options.items():
            known = stored.get(f"{name}.yaml")
            if known is None or OmegaConf.get_type(known.node) is not option.config:
                store.store(group=group, name=name, node=option.config)


def option_name(group: str, config: object, groups: Groups = GROUPS) -> str:
    """The name under which a recipe chooses `config`."""
    return next(name for name, option in groups[group].items() if option.config is type(config))


def build(group: str, config: object, *parts: Any, **named_parts: Any) -> Any:
    """The object that `config` of `group` describes: its builder gets the config and the parts."""
    return _builder(group, config)(config, *parts, **named_parts)


def build_offering(group: str, config: object, **offered: Any) -> Any:
    """As `build`; the builder gets those of the `offered` parts that it asks for."""
    asked_for = {name: part for name, part in offered.items() if asks_for(group, config, name)}
    return _builder(group, config)(config, **asked_for)


def asks_for(group: str, config: object, part: str) -> bool:
    """Whether the builder of `config` has a parameter of that name."""
    return part in signature(_builder(group, config)).parameters


def _builder(group: str, config: object) -> Callable[..., Any]:
    builder = GROUPS[group][option_name(group, config)].build
    return resolve_name(builder) if isinstance(builder, str) else builder
