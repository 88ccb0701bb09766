"""results.json as tables for a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

TOKENS = {
    "response_tokens", "tokens_per_correct", "correct_tokens", "wrong_tokens", "total_tokens",
    "depth_tokens",
}  # fmt: skip
"""Figures in tokens; all others are shares."""

SAME_AS_ACCURACY = ("avg@", "pass@1")
"""Beginnings of names whose figures stand in the row of the accuracy."""

AT_LEVEL = ("accuracy", "response_tokens", "tokens_per_correct", "truncated")
AT_CAP = ("accuracy", "response_tokens", "tokens_per_correct")
AT_RULE = ("accuracy", "accuracy_gain", "total_tokens", "depth_tokens")
AT_BUDGET = ("accuracy", "response_tokens", "budget_error", "budget_bias", "within_budget")
AT_EFFORT = ("accuracy", "response_tokens")

Content = Mapping[str, Any]


def headline(content: Content) -> str:
    """One line: which model, on what, how."""
    settings = content["settings"]
    return (
        f"{content['model']} on {settings['data']} ({settings['split']}): "
        f"{settings['num_problems']} problems, {settings['samples_per_problem']} samples each at "
        f"T={settings['temperature']:g}, limit {settings['max_response_tokens']} tokens, "
        f"{content['engine']}"
    )


def tables(content: Content) -> list[Table]:
    """Figures beside greedy ones, by level, under caps; then votes, budgets, base, if any."""
    found = [_modes(content)]
    if content["by_level"]:
        found.append(_rows("by level", "level", content["by_level"], AT_LEVEL))
    found.append(_rows("cut at tokens", "cap", content["budget_curve"], AT_CAP))
    if content["decoding"]:
        found.append(_rows("decided by", "rule", content["decoding"], AT_RULE))
    found += _instructed(content["instructed"])
    for curve in content["curves"]:
        points = [{**at, "asked": _asked(at["amount"], at["trained"])} for at in curve["points"]]
        found.append(_rows(f"all asked {_unit(curve)}", "asked", points, _at(curve)))
        if curve["trends"]:
            found.append(_trends(curve["trends"]))
    if content["base"]:
        found.append(_base(content["base"]))
    return found


def footnotes(content: Content) -> list[str]:
    """What a reader of the tables must know."""
    notes = ["[low, high]: 95 % bootstrap interval over problems"]
    failures = content["grader_failures"]
    if any(failures.values()):
        notes.append(
            f"without a verdict (grader failed), left out of the accuracy: {failures['sampled']} "
            f"sampled, {failures['greedy']} greedy"
        )
    if content["base"]:
        weights = "/".join(f"{weight:g}" for weight in content["base"]["aes_weights"])
        shared = content["base"]["sampled"]["num_problems"]
        notes.append(f"AES weights {weights}; changes are paired over {shared} shared problems")
    return notes


def _modes(content: Content) -> Table:
    modes = {name: content[name] for name in ("sampled", "greedy") if content[name]}
    table = _table("", modes)
    for name in _shown(content["sampled"]):
        table.add_row(name, *(_cell(name, figures.get(name)) for figures in modes.values()))
    return table


def _rows(title: str, key: str, rows: Sequence[Content], names: Sequence[str]) -> Table:
    table = _table(title, names)
    for row in rows:
        table.add_row(str(row[key]), *(_cell(name, row.get(name)) for name in names))
    return table


def _instructed(bands: Sequence[Content]) -> list[Table]:
    """One table for each kind of budget that prompts ask for."""
    tables = []
    for kind in dict.fromkeys(band["kind"] for band in bands):
        rows = [
            {
                **band,
                "asked": _asked(
                    str(band["low"])
                    if band["low"] == band["high"]
                    else f"{band['low']} to {band['high']}",
                    band["never_trained"] < band["num_problems"],
                ),
            }
            for band in bands
            if band["kind"] == kind
        ]
        tables.append(_rows(f"asked {_unit(rows[0])}", "asked", rows, _at(rows[0])))
    return tables


def _trends(trends: Content) -> Table:
    names = ("change", "rank_correlation", "problem_rank_correlation")
    table = _table("from least to most", [*names, "rises in"])
    for name, trend in trends.items():
        cells = [_cell(name if each == "change" else each, trend[each], "+") for each in names]
        table.add_row(name, *cells, f"{trend['rises']:.3f}")
    return table


def _asked(amount: object, trained: bool) -> str:
    return f"{amount}" if trained else f"{amount} (never trained)"


def _unit(content: Content) -> str:
    """What an amount of the kind counts."""
    return {"exact": "for tokens", "max": "for at most tokens", "effort": "for percent effort"}[
        content["kind"]
    ]


def _at(content: Content) -> Sequence[str]:
    return AT_EFFORT if content["kind"] == "effort" else AT_BUDGET


def _base(base: Content) -> Table:
    modes = {name: base[name] for name in ("sampled", "greedy") if base[name]}
    columns = [f"{name} {what}" for name in modes for what in ("base", "change")]
    table = _table(f"against {base['model']}", columns)
    for name in _shown(base["sampled"]["change"]):
        cells = [
            _cell(name, compared[what].get(name), "+" if what == "change" else "")
            for compared in modes.values()
            for what in ("base", "change")
        ]
        table.add_row(name, *cells)
    for name in ("token_ratio", "aes"):
        cells = [cell for compared in modes.values() for cell in ("", _cell(name, compared[name]))]
        table.add_row(name, *cells)
    return table


def _shown(figures: Content) -> list[str]:
    return [name for name in figures if not name.startswith(SAME_AS_ACCURACY)]


def _table(title: str, columns: Iterable[str]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column(Text(title))
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _cell(name: str, figure: Content | None, sign: str = "") -> str:
    """`0.873 [0.851, 0.894]`; a dash for an undefined figure, no number for an infinite end."""
    if figure is None:
        return "-"
    spec = f"{sign}.1f" if name in TOKENS else f"{sign}.3f"
    low, high = ("" if figure[end] is None else f"{figure[end]:{spec}}" for end in ("low", "high"))
    return f"{figure['value']:{spec}} [{low}, {high}]"
