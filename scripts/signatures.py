"""What each method promises beside fewer tokens, measured in the runs of the lab table.

    python scripts/signatures.py runs/table     # after scripts/reproduce.py

A signature is a number of one run, or of one run against another of the same seed, with what was
wanted of it before it was measured. A miss stays in the table, results/signatures.json.
"""

import argparse
import json
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from data.config import BudgetKind
from rewards.length.hapo import LENGTH
from rl.cli.compose import compose
from rl.cli.inputs import read_inputs
from rl.cli.recipe import RecipeError
from rl.config import RunConfig
from rl.evaluate.comparison import compare
from rl.evaluate.curves import rank_correlation
from rl.evaluate.formulas import budget_error, share_within_budget
from rl.evaluate.outcomes import Outcomes, read_outcomes
from rl.limits.palu import LIMIT
from scripts.code_hash import ROOT
from scripts.make_results import SIGNATURES, Row, json_lines

Name = tuple[str, str]
"""Method and variant."""

RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "at least": operator.ge,
    "at most": operator.le,
    "above": operator.gt,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """`value` of a run, with its 95 % interval over problems where it has one."""

    claim: str
    value: float
    wanted: str
    met: bool
    low: float | None = None
    high: float | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, help="the folder of scripts/reproduce.py's runs")
    options = parser.parse_args(arguments)
    found = [
        row
        for seed, runs in sorted(finished_runs(options.runs).items())
        for row in signatures(runs, seed)
    ]
    kept = json.loads(SIGNATURES.read_text()) if SIGNATURES.exists() else []
    SIGNATURES.write_text(json_lines(merged(kept, found)))
    for row in found:
        print(
            f"{row['claim']}, seed {row['seed']}: {row['value']:.3f} "
            f"(wanted {row['wanted']}) {'met' if row['met'] else 'MISSED'}"
        )
    return 0


def merged(kept: Sequence[Row], found: Sequence[Row]) -> list[Row]:
    """`found`, and what is kept of claims and seeds that are not measured anew."""
    rows = {(row["seed"], row["claim"]): row for row in [*kept, *found]}
    return sorted(rows.values(), key=lambda row: int(row["seed"]))


def finished_runs(folder: Path) -> dict[int, dict[Name, Path]]:
    """By seed, the newest finished run of every method and variant under `folder`."""
    found: dict[int, dict[Name, Path]] = {}
    for summary in sorted(folder.glob("*/summary.json"), key=lambda path: path.stat().st_mtime):
        made = json.loads(summary.read_text())
        name = summary.parent.name.rsplit("-", 2)[0]
        variant = name.removeprefix(made["recipe"]).lstrip("-")
        found.setdefault(made["seed"], {})[made["recipe"], variant] = summary.parent
    return found


def signatures(runs: Mapping[Name, Path], seed: int) -> Iterator[Row]:
    """A row of results for every signature whose runs are there."""
    for method, measure in OF_ONE_RUN.items():
        if folder := runs.get((method, "")):
            for signature in measure(folder):
                yield {**asdict(signature), "seed": seed, "commit": commit_of(folder)}
    for claim, better, worse in OF_TWO_RUNS:
        if better in runs and worse in runs:
            signature = more_accurate(claim, runs[better], runs[worse])
            yield {**asdict(signature), "seed": seed, "commit": commit_of(runs[better])}


def compared(claim: str, value: float, relation: str, bound: float) -> Signature:
    """A signature without an interval: `value` stands in one of `RELATIONS` to `bound`, or not."""
    met = RELATIONS[relation](value, bound)
    return Signature(claim=claim, value=value, wanted=f"{relation} {bound:g}", met=met)


def palu_budgets(folder: Path) -> Iterator[Signature]:
    """Limits at the end against the fewest tokens that solve the prompt."""
    records = run_state(folder)["limit"]["records"]
    limits = {prompt: record[LIMIT] for prompt, record in records}
    minimal = minimal_tokens(folder)
    yield compared(
        "PALU: limits follow difficulty (rank correlation with minimal length)",
        correlation(list(limits.values()), [minimal[prompt] for prompt in limits]),
        "at least",
        0.5,
    )


def siri_lengths(folder: Path) -> Iterator[Signature]:
    """Mean response length of a step against the step's limit."""
    steps = metrics(folder)
    limits = [step["limit/mean"] for step in steps]
    yield compared(
        "SIRI: length follows the schedule (rank correlation over steps)",
        correlation(limits, [step["completions/mean_length"] for step in steps]),
        "at least",
        0.5,
    )


def lcpo_exact_error(folder: Path) -> Iterator[Signature]:
    """Mean of |tokens - budget| / budget on budgets that were never trained on."""
    asked = evaluated(folder)
    error = budget_error(asked.tokens.to_numpy(float), asked.budget.to_numpy(float))
    yield compared(
        "LCPO-Exact: mean relative budget error on unseen budgets", error, "at most", 0.1
    )


def lcpo_max_budgets(folder: Path) -> Iterator[Signature]:
    """Share of answers within their budget, and accuracy against the budget."""
    asked = evaluated(folder)
    asked = asked[asked.budget_kind == BudgetKind.MAX.value]
    share = share_within_budget(asked.tokens.to_numpy(float), asked.budget.to_numpy(float))
    yield compared("LCPO-Max: answers within the budget", share, "at least", 0.95)
    accuracies = asked.groupby("budget").correct.mean()
    rise = correlation(list(accuracies.index), list(accuracies))
    yield compared(
        "LCPO-Max: accuracy rises with the budget (rank correlation)", rise, "above", 0.5
    )


def effort_tokens(folder: Path) -> Iterator[Signature]:
    """Mean tokens at the highest effort over those at the lowest."""
    tokens = evaluated(folder).groupby("budget").tokens.mean()
    ratio = float(tokens.iloc[-1] / tokens.iloc[0])
    yield Signature(
        claim=f"effort: tokens at {tokens.index[-1]:g} % over tokens at {tokens.index[0]:g} %",
        value=ratio,
        wanted="above 1, rising throughout",
        met=bool(tokens.is_monotonic_increasing) and ratio > 1,
    )


def hapo_history(folder: Path) -> Iterator[Signature]:
    """Share of prompts whose shortest correct answer is shorter than that of their first visit.

    Of the prompts whose first visit is among the completions that the run kept.
    """
    records = run_state(folder)["memory"]["records"]
    last = {prompt: record[LENGTH] for prompt, record in records if LENGTH in record}
    kept = pd.concat(
        pd.read_parquet(path) for path in sorted((folder / "completions").glob("*.parquet"))
    )
    config = config_of(folder)
    epoch = kept[kept.step <= config.data.num_prompts // config.prompts_per_step]
    first = epoch[epoch.correct].groupby("prompt_id").tokens.min()
    fell = float(np.mean([last[prompt] < length for prompt, length in first.items()]))
    yield compared(
        f"HAPO: prompts whose history fell since the first visit ({len(first)} prompts)",
        fell,
        "at least",
        0.5,
    )


def dot_group_size(folder: Path) -> Iterator[Signature]:
    """Groups of 8 can hold no length 3 deviations above their mean; they are refused by name.

    The run in `folder` is one with groups of 16.
    """
    try:
        compose(ROOT / "recipes" / "lab" / "dot.yaml", ["algorithm.group_size=8"])
        refused = False
    except RecipeError as error:
        refused = "group_size" in str(error)
    yield compared(
        "DOT: refused with groups of 8, finished with groups of 16", float(refused), "at least", 1
    )


def more_accurate(claim: str, better: Path, worse: Path) -> Signature:
    """Accuracy of one run minus that of another, paired over problems."""
    change = compare(sampled(better), sampled(worse)).change["accuracy"]
    return Signature(
        claim=claim,
        value=change.value,
        low=change.low,
        high=change.high,
        wanted="interval above 0",
        met=change.low > 0,
    )


OF_ONE_RUN: dict[str, Callable[[Path], Iterator[Signature]]] = {
    "palu": palu_budgets,
    "siri": siri_lengths,
    "lcpo_exact": lcpo_exact_error,
    "lcpo_max": lcpo_max_budgets,
    "effort": effort_tokens,
    "hapo": hapo_history,
    "dot": dot_group_size,
}

OF_TWO_RUNS: tuple[tuple[str, Name, Name], ...] = (
    (
        "SIRI: accuracy of the high checkpoint over the constant cap",
        ("siri", ""),
        ("constant_cap", ""),
    ),
    (
        "GRPO-lambda: accuracy over its length term without the gate",
        ("grpo_lambda", ""),
        ("sigmoid", ""),
    ),
    (
        "DLER: accuracy over DLER without dynamic sampling",
        ("dler", ""),
        ("dler", "no_dynamic_sampling"),
    ),
    (
        "GVM: accuracy over uniform allocation",
        ("gvm", ""),
        ("gvm", "uniform"),
    ),
)


def correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation of two lists."""
    return rank_correlation(np.array(first, float), np.array([second], float)).item()


def commit_of(folder: Path) -> str:
    return str(json.loads((folder / "summary.json").read_text())["commit"])


def final_evaluation(folder: Path) -> Path:
    return max((folder / "eval").glob("step_*.parquet"))


def sampled(folder: Path) -> Outcomes:
    """What became of the samples at T=1 of the final evaluation."""
    return read_outcomes(final_evaluation(folder)).sampled


def evaluated(folder: Path) -> pd.DataFrame:
    """Sampled completions of the final evaluation that were asked for a budget."""
    rows = pd.read_parquet(final_evaluation(folder))
    return rows[(rows["mode"] == "sampled") & rows.budget.notna()]


def metrics(folder: Path) -> list[dict[str, float]]:
    """The metrics of every training step."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if "step_time" in line]


def run_state(folder: Path) -> dict[str, dict[str, list[tuple[str, dict[str, float]]]]]:
    """The run's own state in its last checkpoint: limits and memories."""
    checkpoints = folder / "checkpoints"
    step = checkpoints / (checkpoints / "latest").read_text().strip()
    state: dict[str, dict[str, list[tuple[str, dict[str, float]]]]] = json.loads(
        (step / "state.json").read_text()
    )
    return state


def config_of(folder: Path) -> RunConfig:
    """The configuration of a finished run, composed as if for another one."""
    return compose(folder / "recipe.yaml", ["run.dir=''"]).config


def minimal_tokens(folder: Path) -> dict[str, int]:
    """Tokens of the shortest solution, by prompt id, of a run's training prompts."""
    prompts = read_inputs(config_of(folder)).training
    return {prompt.id: int(prompt.extra["minimal_tokens"]) for prompt in prompts}


if __name__ == "__main__":
    raise SystemExit(main())
