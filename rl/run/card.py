"""The model card of an export: what was trained, what was measured, how to do it again.

Everything in it is read from the run's folder, so that the same run always has the same card. It
names no place of the machine: a local model or dataset appears by its last name.
"""

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rl.evaluate.evaluation import Evaluation
from rl.evaluate.formulas import Floats, bootstrap_interval
from rl.run.progress import comparison_line
from rl.run.record import RunRecord, config_hash, published_config, published_recipe, read_run
from rl.run.stored_evaluation import accuracy_under_cap, read_evaluation

Columns = Sequence[tuple[str, Evaluation]]
"""Evaluations side by side, each under its heading: before, after."""

NUM_CAPS = 6
"""Points of the budget curve: the limit, and its halves."""

TAGS = ["laconic", "reinforcement-learning", "efficient-reasoning"]


def write_model_card(folder: Path, run_folder: Path, step: int | None = None) -> None:
    """Writes README.md and recipe.yaml into the export in `folder`.

    `step` is the update after which the weights were taken; None is the end of a finished run.
    """
    run = read_run(run_folder)
    card = model_card(run, run.num_steps if step is None else step)
    (folder / "README.md").write_text(card, encoding="utf-8")
    (folder / "recipe.yaml").write_text(published_recipe(run), encoding="utf-8")


def model_card(run: RunRecord, step: int) -> str:
    """The card of the weights after `step` updates of `run`."""
    temperature = float(run.config["evaluation"]["temperature"])
    measured = {"before": 0, "after": step} if step else {"before": 0}
    columns = [
        (heading, evaluation)
        for heading, at in measured.items()
        if (evaluation := read_evaluation(run.folder, at, temperature))
    ]
    name = Path(published_config(run.config)["model"]["path"]).name
    parts = [
        front_matter(run),
        [f"# {name}, trained to reason in fewer tokens", "", run.title, ""],
        _facts(run, step),
        ["## Measured", "", *_measured(columns)],
        ["## Reproduce", "", *_reproduce(run)],
    ]
    return "\n".join(line for part in parts for line in part) + "\n"


def front_matter(run: RunRecord) -> list[str]:
    """The YAML head that the Hub reads: base model, datasets and licence where they are known."""
    model, data = run.config["model"]["path"], run.config["data"]
    datasets = [path for path in (data["path"], data["eval_path"]) if on_hub(path)]
    head: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    head |= {"base_model": model} if on_hub(model) else {}
    head |= {"datasets": list(dict.fromkeys(datasets))} if datasets else {}
    head |= {"license": known} if (known := license_of(model)) else {}
    text = yaml.safe_dump(head | {"tags": TAGS}, sort_keys=False)
    return ["---", *text.splitlines(), "---"]


def on_hub(path: str) -> bool:
    """Whether `path` is a name of the Hub (USER/NAME), not a folder or file of this machine."""
    return path.count("/") == 1 and not path.startswith(("/", "~", ".")) and not Path(path).exists()


def license_of(model_path: str) -> str:
    """The licence that the initial model's own card states; empty when it lies nowhere here."""
    card: Any = Path(model_path).expanduser() / "README.md"
    if on_hub(model_path):
        from huggingface_hub import try_to_load_from_cache

        card = try_to_load_from_cache(model_path, "README.md")
    if not isinstance(card, str | Path) or not Path(card).is_file():
        return ""
    _, *head = Path(card).read_text(encoding="utf-8").split("---\n", 2)
    stated = yaml.safe_load(head[0]) if head else None
    return str(stated.get("license", "")) if isinstance(stated, dict) else ""


def budget_curve(columns: Columns) -> list[str]:
    """Accuracy under caps on one set of completions; a longer answer than the cap is wrong."""
    limit = max(j.completion.limit for _, evaluation in columns for j in evaluation.judged)
    caps = sorted({cap for halvings in range(NUM_CAPS) if (cap := limit >> halvings)})
    headings = [heading for heading, _ in columns]
    rows = [
        [str(cap), *(_interval(_under_cap(evaluation, cap), ".3f") for _, evaluation in columns)]
        for cap in caps
    ]
    return _table(["budget, tokens", *headings], rows)


def _under_cap(evaluation: Evaluation, cap: int) -> Floats:
    """Accuracy of each problem [P] when answers beyond `cap` tokens count as wrong."""
    tokens = [[j.completion.num_tokens for j in row] for row in evaluation.sampled]
    correct = [[j.verdict.correct for j in row] for row in evaluation.sampled]
    return accuracy_under_cap(tokens, correct, cap)


def _facts(run: RunRecord, step: int) -> list[str]:
    summary, data = run.summary or {}, published_config(run.config)["data"]
    commit = summary.get("commit")
    held_out = f"`{data['eval_path']}`, split `{data['eval_split']}`"
    rows = [
        ["base model", f"`{published_config(run.config)['model']['path']}`"],
        ["training data", f"`{data['path']}`, split `{data['split']}`"],
        ["held-out data", held_out if data["eval_path"] else "none"],
        ["updates", f"{step} of {run.num_steps}"],
        ["seed", str(run.config["seed"])],
        ["engine", str(summary.get("engine", "not recorded"))],
        ["code", f"commit {commit}" if commit else f"laconic {_version()}"],
        ["config hash", f"`{config_hash(run.config)}`"],
    ]
    return _table(["", ""], rows)


def _measured(columns: Columns) -> list[str]:
    if not columns:
        return ["It was not evaluated on held-out problems.", ""]
    first = columns[0][1]
    headings = [f"{what} {when}" for what in ("accuracy", "tokens") for when, _ in columns]
    rows = [
        _row(label, [part(evaluation) for _, evaluation in columns])
        for label, part in _parts(first).items()
    ]
    change = [comparison_line(first, columns[1][1]), ""] if len(columns) > 1 else []
    return [
        f"{first.num_problems} held-out problems, {first.samples_per_problem} samples each, limit "
        f"{first.judged[0].completion.limit} tokens; in brackets the 95 % bootstrap interval over "
        "problems. Tokens are those of the whole response, truncated ones at the limit.",
        "",
        *_table(["", *headings], rows),
        *change,
        "Accuracy when an answer longer than the budget counts as wrong:",
        "",
        *budget_curve(columns),
    ]


def _parts(evaluation: Evaluation) -> dict[str, Any]:
    """Rows of the table: label, and the function that takes its part of an evaluation."""
    parts: dict[str, Any] = {f"sampled, T={evaluation.temperature:g}": lambda whole: whole}
    if evaluation.greedy:
        parts["greedy"] = _greedy
    for level in evaluation.by_level():
        parts[f"sampled, level {level}"] = lambda whole, level=level: _of_level(whole, level)
    return parts


def _greedy(evaluation: Evaluation) -> Evaluation:
    return replace(evaluation, sampled=tuple((judged,) for judged in evaluation.greedy))


def _of_level(evaluation: Evaluation, level: str) -> Evaluation:
    rows = (row for row in evaluation.sampled if str(row[0].prompt.extra.get("level")) == level)
    return replace(evaluation, sampled=tuple(rows))


def _row(label: str, parts: Sequence[Evaluation]) -> list[str]:
    accuracies = [_interval(part.problem_accuracies, ".3f") for part in parts]
    return [label, *accuracies, *(_interval(part.problem_tokens, ".1f") for part in parts)]


def _interval(values: Floats, spec: str) -> str:
    """`mean [low, high]` of one value per problem; NaN entries (the grader failed) are left out."""
    known = values[~np.isnan(values)]
    if not len(known):
        return "-"
    low, high = bootstrap_interval(known)
    return f"{known.mean():{spec}} [{low:{spec}}, {high:{spec}}]"


def repeat_command(run: RunRecord, recipe: str) -> str:
    """What repeats the run from its resolved recipe, which lies at `recipe`."""
    ranks = f"--nproc-per-node {run.num_ranks} " if run.num_ranks else ""
    longer = run.num_steps != run.config["num_steps"]
    steps = f" num_steps={run.num_steps}" if longer else ""
    return f"torchrun {ranks}{recipe}{steps}"


def _reproduce(run: RunRecord) -> list[str]:
    return [
        "`recipe.yaml` beside this card is the resolved recipe of the run. With that version of "
        "Laconic:",
        "",
        "```",
        repeat_command(run, "recipe.yaml"),
        "```",
    ]


def _version() -> str:
    try:
        return version("laconic")
    except PackageNotFoundError:
        return "(not installed)"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [headings, ["---"] * len(headings), *rows]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]
