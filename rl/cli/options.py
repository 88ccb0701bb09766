"""The option groups of a recipe: each name with its config class and its builder.

A new algorithm, reward, gate or limit is one line here. A builder that needs torch, vLLM or
DeepSpeed is named `module:function` and imported when the object is built, so that a recipe is
checked before anything heavy loads.
"""

from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any, NamedTuple

from hydra.core.config_store import ConfigStore

from rewards.config import CustomRewardConfig
from rewards.correct import CorrectConfig
from rewards.gates.grpo_lambda import ThresholdConfig, TopFractionConfig
from rewards.gates.none import NoGateConfig
from rewards.length.da_dler import DaDlerConfig
from rewards.length.dler import DlerCodeConfig, DlerConfig
from rewards.length.dot import DotConfig
from rewards.length.sigmoid import SigmoidConfig
from rewards.verifiers.custom import CustomVerifierConfig
from rewards.verifiers.exact import ExactConfig
from rewards.verifiers.math import MathConfig
from rewards.verifiers.multiple_choice import MultipleChoiceConfig
from rewards.verifiers.string import StringConfig
from rl.algorithms.table import ALGORITHMS
from rl.config import ConstantLimitConfig, LearnerConfig, RunConfig
from rollout.config import TransformersConfig, VllmConfig


class Option(NamedTuple):
    """One choice of a group: its schema, and what makes the object from an instance of it."""

    config: type[Any]
    build: Callable[..., Any] | str


Groups = dict[str, dict[str, Option]]

GROUPS: Groups = {
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
        "dler": Option(DlerConfig, "rewards.length.dler:build_reward"),
        "dler_code": Option(DlerCodeConfig, "rewards.length.dler:build_code_reward"),
        "da_dler": Option(DaDlerConfig, "rewards.length.da_dler:build_reward"),
        "dot": Option(DotConfig, "rewards.length.dot:build_reward"),
        "custom": Option(CustomRewardConfig, "rewards.custom:build_reward"),
    },
    "gate": {
        "none": Option(NoGateConfig, "rewards.gates.none:build_gate"),
        "grpo_lambda": Option(TopFractionConfig, "rewards.gates.grpo_lambda:build_top_fraction"),
        "grpo_lambda_threshold": Option(
            ThresholdConfig, "rewards.gates.grpo_lambda:build_threshold"
        ),
    },
    "algorithm": {
        name: Option(algorithm.config, algorithm.advantages)
        for name, algorithm in ALGORITHMS.items()
    },
    "limit": {"constant": Option(ConstantLimitConfig, "rl.limits.constant:build_limit")},
    "rollout": {
        "vllm": Option(VllmConfig, "rollout.vllm.start:start_engine"),
        "transformers": Option(TransformersConfig, "rollout.transformers_start:start_engine"),
    },
    "learner": {
        "deepspeed": Option(LearnerConfig, "rl.learner.deepspeed_learner:DeepSpeedLearner")
    },
}

UNCHOSEN = {"verifier": "math", "gate": "none"}
"""Options of groups that a recipe need not mention."""

YAML_GROUPS = ("model", "data")
"""Groups whose choices are YAML files: data, not options."""


def fill_config_store(groups: Groups = GROUPS) -> None:
    """Makes `schema` and every option known to Hydra; called from the entry, never at import."""
    store = ConfigStore.instance()
    store.store(name="schema", node=RunConfig)
    for group, options in groups.items():
        for name, option in options.items():
            store.store(group=group, name=name, node=option.config)


def option_name(group: str, config: object, groups: Groups = GROUPS) -> str:
    """The name under which a recipe chooses `config`."""
    return next(name for name, option in groups[group].items() if option.config is type(config))


def build(group: str, config: object, *parts: Any, **named_parts: Any) -> Any:
    """The object that `config` of `group` describes: its builder gets the config and the parts."""
    builder = GROUPS[group][option_name(group, config)].build
    function = resolve_name(builder) if isinstance(builder, str) else builder
    return function(config, *parts, **named_parts)
