"""What each method promises beside fewer tokens, measured in the runs of the lab table.

    python scripts/signatures.py runs/table     # after scripts/reproduce.py


A signature is a number of one run, or of one run against another of the same seed, with what was
wanted of it before it was measured. A miss stays in the table, results/signatures.json.
"""

import argparse
import json
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
from rl.evaluate.comparison import compare
from rl.evaluate.formulas import budget_error, share_within_budget
from rl.evaluate.outcomes import Outcomes, read_outcomes
from rl.limits.palu import LIMIT
from scripts.code_hash import ROOT

SIGNATURES = ROOT / "results" / "signatures.json"

Runs = Mapping[tuple[str, str], Path]
"""Folders of one seed's finished runs, by method and variant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """`value` of one seed, with its 95 % interval over problems where it has one."""

    claim: str
    seed: int
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
        signature
        for seed, runs in sorted(finished_runs(options.runs).items())
        for signature in signatures(runs, seed)
    ]
    SIGNATURES.write_text(
        "[\n" + ",\n".join(json.dumps(asdict(signature)) for signature in found) + "\n]\n"
    )
    for signature in found:
        print(
            f"{signature.claim}, seed {signature.seed}: {signature.value:.3f} "
            f"(wanted {signature.wanted}) {'met' if signature.met else 'MISSED'}"
        )
    return 0


def finished_runs(folder: Path) -> dict[int, dict[tuple[str, str], Path]]:
    """By seed, the newest finished run of every method and variant under `folder`."""
    found: dict[int, dict[tuple[str, str], Path]] = {}
    for summary in sorted(folder.glob("*/summary.json"), key=lambda path: path.stat().st_mtime):
        made = json.loads(summary.read_text())
        name = summary.parent.name.rsplit("-", 2)[0]
        variant = name.removeprefix(made["recipe"]).lstrip("-")
        found.setdefault(made["seed"], {})[made["recipe"], variant] = summary.parent
    return found


def signatures(runs: Runs, seed: int) -> Iterator[Signature]:
    """Every signature whose runs are there."""
    for needed, measure in MEASURES:
        if all(name in runs for name in needed):
            yield from measure(runs, seed)


def palu_budgets(runs: Runs, seed: int) -> Iterator[Signature]:
    """Limits at the end against the fewest tokens that solve the prompt."""
    folder = runs["palu", ""]
    records = run_state(folder)["limit"]["records"]
    limits = {prompt: record[LIMIT] for prompt, record in records}
    minimal = minimal_tokens(folder)
    correlation = rank_correlation(list(limits.values()), [minimal[prompt] for prompt in limits])
    yield Signature(
        claim="PALU: limits follow difficulty (rank correlation with minimal length)",
        seed=seed,
        value=correlation,
        wanted="at least 0.5",
        met=correlation >= 0.5,
    )


def siri_lengths(runs: Runs, seed: int) -> Iterator[Signature]:
    """Mean response length of a step against the step's limit."""
    steps = metrics(runs["siri", ""])
    tokens = [step["completions/mean_length"] for step in steps]
    limits = [step["limit/mean"] for step in steps]
    correlation = rank_correlation(limits, tokens)
    yield Signature(
        claim="SIRI: length follows the schedule (rank correlation over steps)",
        seed=seed,
        value=correlation,
        wanted="at least 0.5",
        met=correlation >= 0.5,
    )


def lcpo_exact_error(runs: Runs, seed: int) -> Iterator[Signature]:
    """Mean of |tokens - budget| / budget on budgets that were never trained on."""
    asked = evaluated(runs["lcpo_exact", ""])
    error = budget_error(asked.tokens.to_numpy(float), asked.budget.to_numpy(float))
    yield Signature(
        claim="LCPO-Exact: mean relative budget error on unseen budgets",
        seed=seed,
        value=error,
        wanted="at most 0.10",
        met=error <= 0.10,
    )


def lcpo_max_budgets(runs: Runs, seed: int) -> Iterator[Signature]:
    """Share of answers within their budget, and accuracy against the budget."""
    asked = evaluated(runs["lcpo_max", ""])
    asked = asked[asked.budget_kind == BudgetKind.MAX.value]
    share = share_within_budget(asked.tokens.to_numpy(float), asked.budget.to_numpy(float))
    yield Signature(
        claim="LCPO-Max: answers within the budget",
        seed=seed,
        value=share,
        wanted="at least 0.95",
        met=share >= 0.95,
    )
    accuracies = asked.groupby("budget").correct.mean()
    correlation = rank_correlation(list(accuracies.index), list(accuracies))
    yield Signature(
        claim="LCPO-Max: accuracy rises with the budget (rank correlation)",
        seed=seed,
        value=correlation,
        wanted="above 0.5",
        met=correlation > 0.5,
    )


def effort_tokens(runs: Runs, seed: int) -> Iterator[Signature]:
    """Mean tokens at the highest effort over those at the lowest."""
    tokens = evaluated(runs["effort", ""]).groupby("budget").tokens.mean()
    ratio = float(tokens.iloc[-1] / tokens.iloc[0])
    yield Signature(
        claim=f"effort: tokens at {tokens.index[-1]:g} % over tokens at {tokens.index[0]:g} %",
        seed=seed,
        value=ratio,
        wanted="above 1, rising throughout",
        met=bool(tokens.is_monotonic_increasing) and ratio > 1,
    )


def hapo_history(runs: Runs, seed: int) -> Iterator[Signature]:
    """Share of prompts whose shortest correct answer is shorter than that of their first visit.

    Of the prompts whose first visit is among the completions that the run kept.
    """
    folder = runs["hapo", ""]
    records = run_state(folder)["memory"]["records"]
    last = {prompt: record[LENGTH] for prompt, record in records if LENGTH in record}
    kept = pd.concat(
        pd.read_parquet(path) for path in sorted((folder / "completions").glob("*.parquet"))
    )
    first_step = kept.groupby("prompt_id").step.transform("min")
    first = kept[(kept.step == first_step) & kept.correct].groupby("prompt_id").tokens.min()
    epoch = kept.step.max() // 5
    first = first[first.index.isin(kept[kept.step <= epoch].prompt_id)]
    fell = float(np.mean([last[prompt] < length for prompt, length in first.items()]))
    yield Signature(
        claim=f"HAPO: prompts whose history fell since the first visit ({len(first)} prompts)",
        seed=seed,
        value=fell,
        wanted="at least 0.5",
        met=fell >= 0.5,
    )


def more_accurate(
    claim: str, better: tuple[str, str], worse: tuple[str, str]
) -> Callable[[Runs, int], Iterator[Signature]]:
    """Accuracy of one run minus that of another, paired over problems."""

    def measure(runs: Runs, seed: int) -> Iterator[Signature]:
        ours, theirs = (sampled(runs[name]) for name in (better, worse))
        change = compare(ours, theirs).change["accuracy"]
        yield Signature(
            claim=claim,
            seed=seed,
            value=change.value,
            low=change.low,
            high=change.high,
            wanted="interval above 0",
            met=change.low > 0,
        )

    return measure


def dot_group_size(runs: Runs, seed: int) -> Iterator[Signature]:
    """Groups of 8 can hold no length 3 deviations above their mean; they are refused by name."""
    try:
        compose(ROOT / "recipes" / "lab" / "dot.yaml", ["algorithm.group_size=8"])
        refused = False
    except RecipeError as error:
        refused = "group_size" in str(error)
    yield Signature(
        claim="DOT: refused with groups of 8, finished with groups of 16",
        seed=seed,
        value=float(refused),
        wanted="1",
        met=refused,
    )


MEASURES: tuple[
    tuple[tuple[tuple[str, str], ...], Callable[[Runs, int], Iterator[Signature]]], ...
] = (
    ((("palu", ""),), palu_budgets),
    ((("siri", ""),), siri_lengths),
    (
        (("siri", ""), ("constant_cap", "")),
        more_accurate(
            "SIRI: accuracy of the high checkpoint over the constant cap",
            ("siri", ""),
            ("constant_cap", ""),
        ),
    ),
    ((("lcpo_exact", ""),), lcpo_exact_error),
    ((("lcpo_max", ""),), lcpo_max_budgets),
    ((("effort", ""),), effort_tokens),
    ((("hapo", ""),), hapo_history),
    (
        (("grpo_lambda", ""), ("sigmoid", "")),
        more_accurate(
            "GRPO-lambda: accuracy over its length term without the gate",
            ("grpo_lambda", ""),
            ("sigmoid", ""),
        ),
    ),
    (
        (("dler", ""), ("dler", "no_dynamic_sampling")),
        more_accurate(
            "DLER: accuracy over DLER without dynamic sampling",
            ("dler", ""),
            ("dler", "no_dynamic_sampling"),
        ),
    ),
    ((("dot", ""),), dot_group_size),
)
"""The runs that a signature needs, and its measure."""


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation, ties with their mean rank; 0 where one side does not vary."""
    ranks = pd.DataFrame({"first": first, "second": second}).rank()
    value = ranks.corr().loc["first", "second"]
    return float(np.nan_to_num(value))


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


def minimal_tokens(folder: Path) -> dict[str, int]:
    """Tokens of the shortest solution, by prompt id, of a run's training prompts."""
    config = compose(folder / "recipe.yaml", ["run.dir=''"]).config
    return {
        prompt.id: int(prompt.extra["minimal_tokens"]) for prompt in read_inputs(config).training
    }


if __name__ == "__main__":
    raise SystemExit(main())
