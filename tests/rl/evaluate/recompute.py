"""Every figure of a results.json, recomputed from completions.parquet; imports nothing of ours.

python tests/rl/evaluate/recompute.py FOLDER [BASE_FOLDER]     exit status 1 when any differs
"""

import json
import sys
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd

ABOUT = {
    "format", "recipe", "model", "revision", "engine", "lab_version", "commit", "seed", "wall_s",
    "settings", "grader_failures", "aes_weights",
}  # fmt: skip


def sums(rows):
    """Per problem: what is summed over problems above and below each figure's fraction."""
    right, wrong = rows.correct.eq(True), rows.correct.eq(False)
    of = {"c": right, "w": wrong, "right": rows.tokens * right, "wrong": rows.tokens * wrong}
    by = rows.assign(**of).groupby("prompt_id", sort=False)
    c, w, t, k = by.c.sum(), by.w.sum(), by.tokens.mean(), by.size().iloc[0]
    n, one = c + w, c * 0 + 1
    acc = (c / n).fillna(0)
    parts = {"accuracy": (acc, n > 0), f"avg@{k}": (acc, n > 0), "response_tokens": (t, one)}
    parts |= {"tokens_per_correct": (t * (n > 0), acc), "truncated": (by.cut.mean(), one)}
    parts |= {"correct_tokens": (by.right.sum(), c), "wrong_tokens": (by.wrong.sum(), w)}
    for j in (j for j in range(1, k + 1) if j == k or j.bit_count() == 1):
        chance = [1 - comb(b, j) / comb(a, j) if a >= j else 0 for a, b in zip(n, w, strict=True)]
        parts[f"pass@{j}"] = (pd.Series(chance), n >= j)
    return {m: (a.to_numpy(float), b.to_numpy(float)) for m, (a, b) in parts.items() if b.any()}


def estimates(of, *sides):
    """`of(figures of each side)` with the quantiles of 4,000 resamples of the problems."""
    size = len(sides[0]["accuracy"][0])
    draws = np.random.default_rng(0).integers(size, size=(4000, size))
    value = of(*({m: a.sum() / b.sum() for m, (a, b) in s.items()} for s in sides))
    with np.errstate(all="ignore"):
        again = [{m: a[draws].sum(1) / b[draws].sum(1) for m, (a, b) in s.items()} for s in sides]
        again = of(*again)
    ends = {m: np.quantile(x[~np.isnan(x)], [0.025, 0.975]).round(9) for m, x in again.items()}
    return {m: {"value": v, "low": ends[m][0], "high": ends[m][1]} for m, v in value.items()}


def figures(rows):
    return estimates(lambda s: s, sums(rows))


def change(a, b):
    """Differences, and the two figures that are no differences."""
    tokens, accuracy = b["response_tokens"], b["accuracy"]
    better = (a["accuracy"] - accuracy) / accuracy
    aes = (tokens - a["response_tokens"]) / tokens + np.where(better < 0, 5, 3) * better
    found = {m: a[m] - b[m] for m in a if m in b}
    return found | {"token_ratio": a["response_tokens"] / tokens, "aes": aes}


def compare(rows, base):
    graded = [set(r.prompt_id[r.correct.notna()]) for r in (rows, base)]
    rows, base = (r[r.prompt_id.isin(graded[0] & graded[1])] for r in (rows, base))
    order = {name: at for at, name in enumerate(rows.prompt_id.unique())}
    base = base.sort_values("prompt_id", key=lambda ids: ids.map(order), kind="stable")
    found = {"num_problems": len(order), "base": figures(base)}
    found["change"] = estimates(change, sums(rows), sums(base))
    return found | {m: found["change"].pop(m) for m in ("token_ratio", "aes")}


def recompute(folder, base_folder, results):
    """The recomputable part of `results`."""
    read = [pd.read_parquet(f / "completions.parquet") for f in (folder, base_folder) if f]
    modes = [dict(list(r.assign(cut=r.finish == "limit").groupby("mode"))) for r in read]
    rows, found = modes[0]["sampled"], {m: figures(r) for m, r in modes[0].items()}
    found["by_level"] = [
        {"level": level, "num_problems": at.prompt_id.nunique(), **figures(at)}
        for level, at in sorted(rows.groupby("level"), key=lambda pair: float(pair[0]))
    ]
    found["budget_curve"] = []
    for cap in (at["cap"] for at in results["budget_curve"]):
        right = rows.correct.where(rows.correct.isna() | (rows.tokens <= cap), False)
        at = rows.assign(correct=right, cut=rows.cut | (rows.tokens > cap))
        at = at.assign(tokens=at.tokens.clip(upper=cap))
        found["budget_curve"].append({"cap": cap, **figures(at)})
    found["base"] = base_folder and {m: compare(modes[0][m], modes[1][m]) for m in modes[0]}
    return found


def differences(found, kept, place="results"):
    """Where the two differ, in any bit; what describes the evaluation is not looked at."""
    if isinstance(found, dict):
        beyond = [f"{place}.{m}: not recomputed" for m in kept.keys() - found.keys() - ABOUT]
        return beyond + [d for m in found for d in differences(found[m], kept[m], f"{place}.{m}")]
    if isinstance(found, list):
        lists = zip(found, kept, strict=True)
        return [d for i, (a, b) in enumerate(lists) for d in differences(a, b, f"{place}[{i}]")]
    return [] if found == kept else [f"{place}: {found} is not {kept}"]


if __name__ == "__main__":
    folders = [Path(argument) for argument in sys.argv[1:]] + [None]
    results = json.loads((folders[0] / "results.json").read_text())
    wrong = differences(recompute(*folders[:2], results), results)
    sys.exit("\n".join(wrong) or 0)
