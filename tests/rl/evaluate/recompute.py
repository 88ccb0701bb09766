"""Every figure of a results.json, recomputed from completions.parquet; imports nothing of ours.

python tests/rl/evaluate/recompute.py FOLDER [BASE_FOLDER]     exit status 1 when any differs
"""

import json
import sys
from itertools import combinations
from math import comb, isclose
from pathlib import Path

import numpy as np
import pandas as pd

ABOUT = {
    "format", "recipe", "model", "revision", "engine", "lab_version", "commit", "seed", "wall_s",
    "settings", "grader_failures", "aes_weights", "never_trained", "trained",
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


def step_together(samples, m):
    """(index, steps, tokens spent) of a vote: all samples take a token a step until m finish."""
    steps, done = 0, []
    while len(done) < m and any(steps < n for n, *_ in samples):
        steps += 1
        done += [i for i, (n, ends, *_) in enumerate(samples) if ends and n == steps]
    done = done[:m] or [min(range(len(samples)), key=lambda i: samples[i][0])]
    said = [samples[i][2] for i in done if samples[i][1] and samples[i][2] is not None]
    most = max(map(said.count, said), default=0)
    chosen = [i for i in done if said.count(samples[i][2]) == most] if said else done
    return chosen[0], steps, sum(min(n, steps) for n, *_ in samples)


def vote_sums(rows, numbers, m, k):
    """What is summed over problems above and below the figures of one vote."""
    said = dict(zip(numbers.id, numbers.answer_number, strict=True))
    right, graded, total, depth = [], [], [], []
    for _, at in rows.groupby("prompt_id", sort=False):
        samples = [
            (r.tokens, r.finish == "stop", None if pd.isna(said[r.id]) else said[r.id], r.correct)
            for r in at.itertuples()
        ]
        n = len(samples)
        blocks = [range(start, start + k) for start in range(0, n - k + 1, k)]
        chosen = combinations(range(n), k) if comb(n, k) <= 10_000 else blocks
        sets = [[samples[i] for i in of] for of in chosen]
        votes = [(of, *step_together(of, m)) for of in sets]
        verdicts = [of[i][3] for of, i, *_ in votes]
        judged = [bool(verdict) for verdict in verdicts if verdict is not None]
        right.append(sum(judged) / max(len(judged), 1))
        graded.append(bool(judged))
        depth.append(sum(steps for *_, steps, _ in votes) / len(votes))
        total.append(sum(spent for *_, spent in votes) / len(votes))
    one = np.ones(len(right))
    parts = {"accuracy": (right, graded), "total_tokens": (total, one)}
    parts = parts | {"depth_tokens": (depth, one)}
    return {m: (np.array(a, float), np.array(b, float)) for m, (a, b) in parts.items()}


def decoding(rows, numbers, rules):
    """The figures of each vote, and its gain over one sample."""

    def gain(vote, one):
        return vote | {"accuracy_gain": vote["accuracy"] - one["accuracy"]}

    alone = vote_sums(rows, numbers, 1, 1)
    return [
        {key: rule[key] for key in ("rule", "m", "k", "subsets")}
        | estimates(gain, vote_sums(rows, numbers, rule["m"], rule["k"]), alone)
        for rule in rules
    ]


def asked_figures(rows):
    """Figures of problems that are asked for a budget, `rows.budget` tokens or percent."""
    parts = sums(rows)
    parts = {m: parts[m] for m in ("accuracy", "response_tokens", "truncated") if m in parts}
    if rows.budget_kind.iloc[0] != "effort":
        miss = (rows.tokens - rows.budget) / rows.budget
        of = {"off": miss.abs(), "over": miss, "kept": (rows.tokens <= rows.budget) * 1.0}
        by = rows.assign(**of).groupby("prompt_id", sort=False)
        means = {"budget_error": by.off, "budget_bias": by.over, "within_budget": by.kept}
        for name, group in means.items():
            each = np.array([np.mean(at.to_numpy(float)) for _, at in group])
            parts[name] = (each, np.ones(len(each)))
    return estimates(lambda s: s, parts)


def instructed(rows, bands):
    found = []
    for band in bands:
        kind, low, high = band["kind"], band["low"], band["high"]
        at = rows[(rows.budget_kind == kind) & (rows.budget >= low) & (rows.budget <= high)]
        about = {"kind": kind, "low": low, "high": high, "num_problems": at.prompt_id.nunique()}
        found.append(about | asked_figures(at))
    return found


def trend(amounts, values):
    """From the least amount to the most, `values` [P, K]."""
    draws = np.random.default_rng(0).integers(len(values), size=(4000, len(values)))

    def spearman(rows):
        ranks = pd.DataFrame(rows).rank(axis=1).to_numpy() - (len(amounts) + 1) / 2
        asked = np.arange(len(amounts)) - (len(amounts) - 1) / 2
        spread = np.sqrt((asked * asked).sum() * (ranks * ranks).sum(axis=1))
        return (ranks * asked).sum(axis=1) / np.where(spread > 0, spread, 1)

    again = np.stack([values[:, k][draws].sum(1) / len(values) for k in range(len(amounts))], 1)
    mean, single = values.mean(axis=0), spearman(values)
    pairs = {
        "change": (mean[-1] - mean[0], again[:, -1] - again[:, 0]),
        "rank_correlation": (spearman(mean[None])[0], spearman(again)),
        "problem_rank_correlation": (single.mean(), single[draws].sum(1) / len(values)),
    }
    found = {"rises": (np.diff(again, axis=1) > 0).all(axis=1).mean()}
    for name, (value, resampled) in pairs.items():
        low, high = np.quantile(resampled, [0.025, 0.975]).round(9)
        found[name] = {"value": value, "low": low, "high": high}
    return found


def curve(folder, kept):
    amounts = [point["amount"] for point in kept["points"]]
    files = [pd.read_parquet(folder / f"curves/{kept['kind']}_{n}.parquet") for n in amounts]
    rows = [at.assign(cut=at.finish == "limit") for at in files]
    points = [{"amount": n} | asked_figures(at) for n, at in zip(amounts, rows, strict=True)]
    trends = {}
    if len(amounts) > 1:
        by = [at.groupby("prompt_id", sort=False) for at in rows]
        tokens = np.stack([at.tokens.mean() for at in by], 1)
        right = np.stack([at.correct.agg(lambda c: c.dropna().mean()) for at in by], 1)
        right = right.astype(float)
        right = right[~np.isnan(right).any(axis=1)]
        trends = {"response_tokens": trend(amounts, tokens), "accuracy": trend(amounts, right)}
    return {"kind": kept["kind"], "points": points, "trends": trends}


def recompute(folder, base_folder, results):
    """The recomputable part of `results`."""
    read = [pd.read_parquet(f / "completions.parquet") for f in (folder, base_folder) if f]
    modes = [dict(list(r.assign(cut=r.finish == "limit").groupby("mode"))) for r in read]
    rows, found = modes[0]["sampled"], {"greedy": None}
    found |= {m: figures(r) for m, r in modes[0].items()}
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
    votes = folder / "answers.parquet"
    numbers = pd.read_parquet(votes) if votes.exists() else None
    found["decoding"] = [] if numbers is None else decoding(rows, numbers, results["decoding"])
    found["instructed"] = instructed(rows, results["instructed"])
    found["curves"] = [curve(folder, kept) for kept in results["curves"]]
    found["base"] = base_folder and {m: compare(modes[0][m], modes[1][m]) for m in modes[0]}
    return found


def differences(found, kept, place="results", exact=True):
    """Where the two differ, in any bit; what describes the evaluation is not looked at.

    Figures of votes and budgets are sums taken in another order here: they may differ by rounding.
    """
    if isinstance(found, dict):
        beyond = [f"{place}.{m}: not recomputed" for m in kept.keys() - found.keys() - ABOUT]
        for m in found:
            same = exact and m not in ("decoding", "instructed", "curves")
            beyond += differences(found[m], kept[m], f"{place}.{m}", same)
        return beyond
    if isinstance(found, list):
        pairs = enumerate(zip(found, kept, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{place}[{i}]", exact)]
    if not exact and isinstance(found, float) and isclose(found, kept, abs_tol=2e-9):
        return []
    return [] if found == kept else [f"{place}: {found} is not {kept}"]


if __name__ == "__main__":
    folders = [Path(argument) for argument in sys.argv[1:]] + [None]
    results = json.loads((folders[0] / "results.json").read_text())
    wrong = differences(recompute(*folders[:2], results), results)
    sys.exit("\n".join(wrong) or 0)
