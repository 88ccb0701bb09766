"""Adds finished runs to results/lab.json and makes RESULTS.md from it.

    python scripts/make_results.py --add runs/quickstart-... --lab short --command "make train"
    python scripts/make_results.py --add runs/... --lab short --variant no_length --command "..."
    python scripts/make_results.py             # writes RESULTS.md
    python scripts/make_results.py --check     # exits 1 when it is not what lab.json says

A row is never replaced: seeds are not drawn again until they please.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rl.cli.compose import compose
from rl.evaluate.formulas import AES_WEIGHTS, accuracy_efficiency_score
from rl.report.anchors import anchors
from scripts.code_hash import ROOT, code_hash

LAB, RESULTS = ROOT / "results" / "lab.json", ROOT / "RESULTS.md"
SIGNATURES = ROOT / "results" / "signatures.json"
LABS = ("short", "long")
FIGURES = ("accuracy", "response_tokens", "accuracy_greedy", "response_tokens_greedy")
STUDENT_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5 % quantiles of Student's t with 1 to 9 degrees of freedom."""

ANCHORS = {
    "cosine": "cosine",
    "da_dler": "DA-DLER",
    "dler": "DLER",
    "dot": "DOT-4K",
    "kimi": "Kimi k1.5",
    "lcpo_max": "L1-Max",
    "o1_pruner": "O1-Pruner",
    "palu": "PALU",
    "shorter_better": "ShorterBetter",
    "siri": "SIRI-high",
    "think_prune": "ThinkPrune",
}
"""Recipes with a published table (`rl.report.anchors`)."""

ABSTRACTS = {
    "grpo_lambda": "-47 %",
    "hapo": "-33 to -59 %",
    "sigmoid": "-50 %",
    "slpo": "-75 to -94 %",
}
"""Tokens saved by the word of a paper's abstract, where no table is at hand."""

CONTROL, CAP = "grpo", "constant_cap"

Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--add", type=Path, metavar="RUN_FOLDER")
    parser.add_argument("--lab", choices=LABS)
    parser.add_argument("--variant", default="")
    parser.add_argument("--command", help="what was typed, literally")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    rows = read_rows(LAB)
    if options.add:
        if not (options.lab and options.command):
            parser.error("--add needs --lab and --command")
        summary = json.loads((options.add / "summary.json").read_text())
        config = compose(options.add / "recipe.yaml", ["run.dir=''"]).config
        made = row_of(summary, options.lab, options.variant, options.command, code_hash(config))
        rows = add(rows, made)
        LAB.parent.mkdir(exist_ok=True)
        LAB.write_text(rows_text(rows))
    page = results_page(rows, read_rows(SIGNATURES))
    if options.check and (not RESULTS.exists() or RESULTS.read_text() != page):
        print("RESULTS.md is not what results/lab.json says: run scripts/make_results.py")
        return 1
    RESULTS.write_text(page)
    return 0


def read_rows(path: Path) -> list[Row]:
    rows: list[Row] = json.loads(path.read_text()) if path.exists() else []
    return rows


def rows_text(rows: Sequence[Row]) -> str:
    """JSON with one row per line, in the order of the tables."""
    return json_lines(sorted(rows, key=key_of))


def json_lines(rows: Sequence[Row]) -> str:
    """A JSON list with one row per line."""
    lines = ",\n".join(map(json.dumps, rows))
    return f"[\n{lines}\n]\n" if lines else "[]\n"


def row_of(summary: Mapping[str, Any], lab: str, variant: str, command: str, code: str) -> Row:
    """A row of results from a run's `summary.json`; `code` is its `code_hash`.

    Raises ValueError without both evaluations.
    """
    base, final = summary["base"], summary["final"]
    if not base or not final:
        raise ValueError("the run was not evaluated before and after: set data.eval_path")
    return {
        "method": summary["recipe"],
        "lab": lab,
        "variant": variant,
        "seed": summary["seed"],
        "lab_version": summary["lab_version"],
        "steps": summary["steps"],
        **{name: final[name] for name in FIGURES},
        **{f"base_{name}": base[name] for name in FIGURES},
        "aes": accuracy_efficiency_score(
            final["accuracy"], final["response_tokens"], base["accuracy"], base["response_tokens"]
        ),
        "wall_s": summary["wall_s"],
        "commit": summary["commit"],
        "code_hash": code,
        "command": command,
    }


def add(rows: Sequence[Row], row: Row) -> list[Row]:
    """`rows` with `row`; raises ValueError when the run is there or the lab is another one."""
    if any(key_of(old) == key_of(row) for old in rows):
        raise ValueError(
            f"{row['method']} {row['variant']} seed {row['seed']} on the {row['lab']} lab is in "
            "results/lab.json; a row is not replaced: remove it by hand and say why in LOG.md"
        )
    versions = {old["lab_version"] for old in rows} | {row["lab_version"]}
    if len(versions) > 1:
        raise ValueError(
            f"lab versions {sorted(versions)} do not compare: a changed lab empties "
            "results/lab.json"
        )
    return sorted([*rows, row], key=key_of)


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """(mean, low, high): Student's 95 % interval of the mean over seeds; NaN ends for one seed."""
    center = mean(values)
    if len(values) == 1:
        return center, float("nan"), float("nan")
    half = STUDENT_T[len(values) - 2] * stdev(values) / sqrt(len(values))
    return center, center - half, center + half


def results_page(rows: Sequence[Row], signatures: Sequence[Row] = ()) -> str:
    """RESULTS.md: means over seeds, each method against the controls, signatures, every run."""
    weights = "/".join(f"{weight:g}" for weight in AES_WEIGHTS)
    page = [
        "# Results on the lab",
        "",
        "Made by `scripts/make_results.py` from `results/lab.json`; do not edit. Accuracy and",
        "response tokens on held-out problems, before -> after; T=1 unless named greedy. Mean over",
        f"seeds with Student's 95 % interval over seeds in brackets. AES weights {weights}.",
        "",
    ]
    if not rows:
        page.append("No runs yet.")
    for lab, in_lab in groupby(sorted(rows, key=key_of), key=lambda row: str(row["lab"])):
        of_lab = list(in_lab)
        page += [
            f"## The {lab} lab (version {of_lab[0]['lab_version']})",
            "",
            *_header(
                "method, variant, seeds, accuracy, response tokens, kept tokens, "
                "greedy accuracy, greedy tokens, AES, seconds, paper's tokens"
            ),
        ]
        methods = groupby(of_lab, key=lambda row: (row["method"], row["variant"]))
        page += [_mean_row(method, variant, list(runs)) for (method, variant), runs in methods]
        page += [
            "",
            *_controls(of_lab),
            *_signatures(signatures if lab == "short" else []),
            "Every run:",
            "",
            *_header(
                "method, variant, seed, steps, accuracy, response tokens, AES, seconds, commit, "
                "command"
            ),
            *(_run_row(row) for row in of_lab),
            "",
        ]
    return "\n".join(page).rstrip() + "\n"


def _controls(rows: Sequence[Row]) -> list[str]:
    """Each method minus plain GRPO, and minus the best constant cap, seed by seed."""
    runs = {(row["method"], row["variant"], row["seed"]): row for row in rows}
    caps = {row["variant"] for row in rows if row["method"] == CAP}
    if not caps or (CONTROL, "") not in {key[:2] for key in runs}:
        return []
    best = max(
        sorted(caps),
        key=lambda cap: mean(
            row["aes"] for row in rows if (row["method"], row["variant"]) == (CAP, cap)
        ),
    )
    lines = [
        f"Against the controls: each method minus plain `{CONTROL}`, and minus the constant cap of",
        f"the highest AES (`{' '.join(filter(None, [CAP, best]))}`); mean of the differences of",
        "the same seed, with Student's 95 % interval.",
        "",
        *_header(
            "method, variant, seeds, tokens - GRPO, accuracy - GRPO, tokens - cap, accuracy - cap"
        ),
    ]
    named = sorted({key[:2] for key in runs if key[0] != "quickstart"})
    for method, variant in named:
        seeds = sorted(key[2] for key in runs if key[:2] == (method, variant))
        cells = [method, variant, ", ".join(map(str, seeds))]
        for other in ((CONTROL, ""), (CAP, best)):
            for figure, spec in (("response_tokens", "+.1f"), ("accuracy", "+.3f")):
                changes = [
                    runs[method, variant, seed][figure] - runs[*other, seed][figure]
                    for seed in seeds
                    if (*other, seed) in runs
                ]
                cells.append(_spread(changes, spec) if changes else "-")
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _signatures(signatures: Sequence[Row]) -> list[str]:
    """What each method promises beside fewer tokens (`scripts/signatures.py`)."""
    if not signatures:
        return []
    lines = [
        "Signatures: what a method promises beside fewer tokens, one line per seed, with what was",
        "wanted before it was measured and the 95 % interval over problems where there is one.",
        "",
        *_header("claim, seed, value, wanted, met"),
    ]
    for row in sorted(signatures, key=lambda row: (row["claim"].split("(")[0], row["seed"])):
        value = f"{row['value']:.3f}"
        if row["low"] is not None:
            value += f" [{row['low']:.3f}, {row['high']:.3f}]"
        met = "yes" if row["met"] else "**no**"
        lines.append(f"| {row['claim']} | {row['seed']} | {value} | {row['wanted']} | {met} |")
    return [*lines, ""]


def _header(names: str) -> list[str]:
    cells = names.split(", ")
    return [f"| {' | '.join(cells)} |", "|---" * len(cells) + "|"]


def _mean_row(method: str, variant: str, runs: Sequence[Row]) -> str:
    kept = [run["response_tokens"] / run["base_response_tokens"] for run in runs]
    cells = [
        method,
        variant,
        ", ".join(str(run["seed"]) for run in runs),
        _change(runs, "accuracy", ".3f"),
        _change(runs, "response_tokens", ".1f"),
        _spread(kept, ".2f"),
        _change(runs, "accuracy_greedy", ".3f"),
        _change(runs, "response_tokens_greedy", ".1f"),
        _spread([run["aes"] for run in runs], ".2f"),
        f"{mean(run['wall_s'] for run in runs):.0f}",
        published(method),
    ]
    return f"| {' | '.join(cells)} |"


def published(method: str) -> str:
    """Tokens saved on a paper's models and benchmarks, its own paper or PALU's: context only."""
    ratios = {anchor.method: anchor.token_ratio for anchor in anchors()}
    if method in ANCHORS:
        return f"{ratios[ANCHORS[method]] - 1:+.0%}".replace("%", " %")
    return ABSTRACTS.get(method, "")


def _run_row(run: Row) -> str:
    cells = [
        run["method"],
        run["variant"],
        run["seed"],
        run["steps"],
        f"{run['base_accuracy']:.3f} -> {run['accuracy']:.3f}",
        f"{run['base_response_tokens']:.1f} -> {run['response_tokens']:.1f}",
        f"{run['aes']:.2f}",
        f"{run['wall_s']:.0f}",
        run["commit"][:10] + ("-dirty" if run["commit"].endswith("-dirty") else ""),
        f"`{run['command']}`",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def _change(runs: Sequence[Row], figure: str, spec: str) -> str:
    if any(run[figure] is None or run[f"base_{figure}"] is None for run in runs):
        return "-"
    before = mean(run[f"base_{figure}"] for run in runs)
    return f"{before:{spec}} -> {_spread([run[figure] for run in runs], spec)}"


def _spread(values: Sequence[float], spec: str) -> str:
    center, low, high = interval(values)
    return f"{center:{spec}}" + (f" [{low:{spec}}, {high:{spec}}]" if len(values) > 1 else "")


def key_of(row: Row) -> tuple[int, str, str, int]:
    return LABS.index(row["lab"]), row["method"], row["variant"], row["seed"]


if __name__ == "__main__":
    raise SystemExit(main())
