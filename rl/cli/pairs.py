"""`laconic pairs RECIPE --long MODEL --short MODEL --to FOLDER`: preference pairs for DPO.

Flow: every problem at once -> one engine -> the training problems, answered and judged for the long
model, then for the short one -> a file of pairs per method, and what became of each problem.
"""

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl.cli.in_turn import InTurn, config_for, started
from rl.cli.machine import this_machine
from rl.cli.merge_methods import Problems, folder_of, read_both, target_problems
from rl.cli.recipe import RecipeError
from rollout.engine import EngineError
from rollout.stream import GraderError

if TYPE_CHECKING:
    from data.types import Prompt
    from rl.config import RunConfig
    from rl.evaluate.evaluation import Evaluation
    from rl.offline.folders import Weights
    from rl.offline.pairs import Built

logger = logging.getLogger(__name__)

FORMAT = 1
SAMPLES = 12
"""K of AdaR1."""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `pairs` to the `laconic` command."""
    parser = commands.add_parser(
        "pairs", help="preference pairs of a long and a short model, for DPO", description=__doc__
    )
    parser.add_argument("recipe", type=Path, help="a recipe's YAML file")
    parser.add_argument("overrides", nargs="*", help="key=value or group=name, as Hydra reads them")
    where = "a folder, a run's folder, or lab:short"
    parser.add_argument("--long", required=True, metavar="MODEL", help=where)
    parser.add_argument("--short", required=True, metavar="MODEL", help=where)
    parser.add_argument("--samples", type=int, default=SAMPLES, help=f"per problem ({SAMPLES})")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER")
    parser.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    """Samples and pairs; 2 with one message when something is in the way, 1 for a lost engine."""
    from rl.cli.launch import log_to_stderr

    log_to_stderr(this_machine())
    try:
        content = make_pairs(
            asked.recipe, asked.overrides, asked.long, asked.short, asked.samples, asked.to
        )
    except (ValueError, OSError) as error:
        sys.stderr.write(f"laconic pairs: {error}\n")
        return 2
    except (EngineError, GraderError) as error:
        logger.error("laconic: %s: %s", type(error).__name__, error)
        return 1
    sys.stdout.write(f"{as_text(content)}\npairs: {asked.to}\n")
    return 0


def make_pairs(
    recipe: Path, overrides: Sequence[str], long: str, short: str, samples: int, target: Path
) -> dict[str, Any]:
    """Writes the pairs of every method to `target`, and returns the accounts in its pairs.json.

    Raises `Problems` with all that is in the way before anything starts.
    """
    from transformers.utils.logging import disable_progress_bar

    from rl.cli.inputs import read_tokenizer
    from rl.cli.train import lab_version
    from rl.offline.pair_files import write_pairs
    from rl.offline.pairs import BUILDERS, build_pairs
    from rl.run.completions import write_evaluated
    from rl.run.folder import source_commit

    disable_progress_bar()
    config, models = checked(recipe, overrides, long, short, samples, target)
    prompts = read_prompts(recipe, overrides, config, short)
    target.mkdir(parents=True, exist_ok=True)
    sys.path.append(str(recipe.parent.absolute()))
    with started(config) as turn:
        engine = turn.engine.name
        sampled = []
        for name, weights in zip(("long", "short"), models, strict=True):
            logger.info("%s: %d problems x %d", name, len(prompts), samples)
            found = sample(turn, name, weights, prompts, samples)
            write_evaluated(target / f"{name}.parquet", 0, found)
            sampled.append(found)
    tokenizer = read_tokenizer(config)
    built = {}
    for method, build in BUILDERS.items():
        built[method] = build_pairs(sampled[0].sampled, sampled[1].sampled, build, config.seed)
        write_pairs(
            target / f"{method}.parquet",
            built[method].pairs,
            lambda prompt: str(tokenizer.decode(prompt.token_ids.tolist())),
        )
    content = {
        "format": FORMAT,
        "recipe": recipe.stem,
        "long": {"model": long, **_figures(sampled[0])},
        "short": {"model": short, **_figures(sampled[1])},
        "engine": engine,
        "lab_version": lab_version(config),
        "commit": source_commit(),
        "seed": config.seed,
        "data": config.data.path,
        "num_problems": len(prompts),
        "samples_per_problem": samples,
        "temperature": config.rollout.temperature,
        "max_response_tokens": config.limit.max_response_tokens,
        "methods": {name: accounts(found) for name, found in built.items()},
    }
    (target / "pairs.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return content


def checked(
    recipe: Path, overrides: Sequence[str], long: str, short: str, samples: int, target: Path
) -> tuple["RunConfig", tuple["Weights", "Weights"]]:
    """The configuration and both models; raises `Problems` with all that is wrong."""
    problems = target_problems(target)
    if samples < 1:
        problems.append(f"--samples {samples}: give 1 or more")
    config, models = None, None
    try:
        one, other, misfits = read_both("linear", long, short)
        models = (one, other)
        problems += misfits
    except Problems as unreadable:
        problems += unreadable.problems
    try:
        config = config_for(recipe, overrides, folder_of(long), this_machine())
    except RecipeError as error:
        problems += error.problems
    if problems or config is None or models is None:
        raise Problems(problems)
    return config, models


def read_prompts(
    recipe: Path, overrides: Sequence[str], config: "RunConfig", short: str
) -> "list[Prompt]":
    """The training problems; raises ValueError where the models read them as different tokens."""
    from rl.cli.inputs import read_inputs

    prompts = read_inputs(config).training
    other = config_for(recipe, overrides, folder_of(short), this_machine())
    for one, two in zip(prompts, read_inputs(other).training, strict=True):
        if one.token_ids.tolist() != two.token_ids.tolist():
            raise ValueError(
                f"--short {short}: its tokenizer or chat template makes other tokens of a problem "
                "than --long's; give two models of one family"
            )
    return prompts


def sample(
    turn: InTurn, name: str, weights: "Weights", prompts: "Sequence[Prompt]", samples: int
) -> "Evaluation":
    """Every problem answered and judged by the model of `weights`."""
    from rl.evaluate.evaluate import evaluate
    from rl.offline.folders import merged_buckets

    config = turn.config
    turn.put(merged_buckets(weights, lambda _, tensor: tensor, turn.bucket_bytes))
    return turn.loop.run(
        evaluate(
            turn.engine,
            prompts,
            turn.verifier,
            name=f"pairs_{name}",
            limit=config.limit.max_response_tokens,
            samples_per_problem=samples,
            temperature=config.rollout.temperature,
            top_p=config.rollout.top_p,
            greedy=False,
            seed=config.seed,
        )
    )


def accounts(built: "Built") -> dict[str, Any]:
    """How many problems gave pairs, how many did not and why, and what the pairs are like."""
    by_level: dict[str, int] = {}
    for pair in built.pairs:
        by_level[pair.level] = by_level.get(pair.level, 0) + 1
    tokens = {
        f"{side}_tokens": _mean([getattr(p, side).completion.num_tokens for p in built.pairs])
        for side in ("chosen", "rejected")
    }
    correct = {
        f"{side}_correct": _mean([bool(getattr(p, side).verdict.correct) for p in built.pairs])
        for side in ("chosen", "rejected")
    }
    return {
        "problems": built.num_problems,
        "problems_with_pairs": built.num_paired,
        "pairs": len(built.pairs),
        "by_level": by_level,
        "without": dict(built.without),
        **tokens,
        **correct,
    }


def as_text(content: Mapping[str, Any]) -> str:
    """The accounts, a line per model and per method, and why problems gave no pair."""
    lines = [
        f"{name}: {content[name]['model']}, accuracy {content[name]['accuracy']:.3f}, "
        f"{content[name]['response_tokens']:.1f} tokens"
        for name in ("long", "short")
    ]
    for name, found in content["methods"].items():
        lines.append(
            f"{name}: {found['pairs']} pairs from {found['problems_with_pairs']} of "
            f"{found['problems']} problems"
        )
        if found["pairs"]:
            levels = ", ".join(f"{number} {level}" for level, number in found["by_level"].items())
            lines.append(
                f"  {levels}; chosen {found['chosen_tokens']:.1f} tokens, "
                f"{found['chosen_correct']:.3f} correct; rejected {found['rejected_tokens']:.1f} "
                f"tokens, {found['rejected_correct']:.3f} correct"
            )
        lines += [f"  {number} without: {reason}" for reason, number in found["without"].items()]
    return "\n".join(lines)


def _figures(evaluation: "Evaluation") -> dict[str, float]:
    return {
        "accuracy": evaluation.accuracy,
        "response_tokens": evaluation.response_tokens,
        "grader_failures": evaluation.grader_failures,
    }


def _mean(numbers: Sequence[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None
