"""results.json of `laconic eval`: everything that was found, made from the outcomes alone.

A figure is `{"value", "low", "high"}`, the ends being those of its 95 % bootstrap interval over
problems (null where there is no finite end); `figures.columns` defines each. An undefined figure
is absent.

    format              1
    recipe, model, revision, engine, lab_version, commit, seed, wall_s
    settings            data, split, budget, num_problems, samples_per_problem, temperature,
                        top_p, max_response_tokens
    grader_failures     {"sampled", "greedy"}: completions without a verdict
    sampled, greedy     {figure name: figure}; greedy is null when it was not asked for
    by_level            [{"level", "num_problems", figures of the sampled completions}]
    budget_curve        [{"cap", figures of the sampled completions cut at cap tokens}]
    decoding            [{"rule", "m", "k", "subsets", figures}]: `voting.decoding_figures` of one
                        sample and of each vote that was asked for; empty without any
    instructed          [{"kind", "low", "high", "num_problems", "never_trained", figures}]:
                        `instructed.bands`, empty where prompts ask for no budget
    curves              [{"kind", "points", "trends"}], for budgets given on the command line;
                        points [{"amount", "trained", figures}], trends {figure name:
                        `curves.Trend`}
    base                null, or {"model", "settings", "aes_weights", "sampled", "greedy"}; the
                        last two are {"num_problems", "base", "change", "token_ratio", "aes"}:
                        `comparison.Comparison` over the problems that both answered
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from data.types import Budget
from rl.evaluate.comparison import Comparison, compare
from rl.evaluate.curves import Curve, curve_trends
from rl.evaluate.figures import budget_curve, figures
from rl.evaluate.formulas import AES_WEIGHTS
from rl.evaluate.instructed import Band, instructed_figures
from rl.evaluate.outcomes import Modes, Outcomes, read_outcomes
from rl.evaluate.voting import ONE_SAMPLE, Ballots, Rule, decoding_figures, subsets

FORMAT = 1
RESULTS = "results.json"
COMPLETIONS = "completions.parquet"

Settings = Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A model with its outcomes and the settings under which it answered."""

    model: str
    settings: Settings
    modes: Modes


@dataclass(frozen=True, slots=True, kw_only=True)
class Further:
    """What only some evaluations have: votes over the samples, and budgets in the prompts."""

    ballots: Ballots | None = None
    rules: Sequence[Rule] = ()
    bands: Sequence[Band] = ()
    curves: Sequence[Curve] = ()


NOTHING_FURTHER = Further()


def results(
    measured: Measured,
    about: Mapping[str, Any],
    caps: Sequence[int],
    base: Measured | None,
    further: Further = NOTHING_FURTHER,
) -> dict[str, Any]:
    """The content of results.json; `about` says by what the model was evaluated.

    Raises ValueError when model and base share no problem.
    """
    sampled, greedy = measured.modes
    found = {
        "format": FORMAT,
        **about,
        "model": measured.model,
        "settings": measured.settings,
        "grader_failures": {
            "sampled": _failures(sampled),
            "greedy": _failures(greedy) if greedy else 0,
        },
        "sampled": figures(sampled),
        "greedy": figures(greedy) if greedy else None,
        "by_level": [
            {"level": level, "num_problems": len(outcomes.problems), **figures(outcomes)}
            for level, outcomes in sampled.by_level().items()
        ],
        "budget_curve": [{"cap": cap, **at} for cap, at in budget_curve(sampled, caps).items()],
        "decoding": _decoding(further.ballots, further.rules) if further.ballots else [],
        "instructed": [_band(band) for band in further.bands],
        "curves": [_curve(curve) for curve in further.curves],
        "base": _against(measured.modes, base) if base else None,
    }
    plain: dict[str, Any] = json.loads(msgspec.json.encode(found))
    return plain


def write_results(folder: Path, content: Mapping[str, Any]) -> Path:
    """Writes results.json, whole or not at all."""
    path = folder / RESULTS
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.rename(path)
    return path


def find_results(place: str) -> Path | None:
    """The results.json that `place` (the file or its folder) names, None when it names none."""
    path = Path(place).expanduser()
    if path.suffix == ".json":
        return path
    return path / RESULTS if (path / RESULTS).is_file() else None


def read_measured(path: Path) -> Measured:
    """An earlier evaluation, from its results.json and the completions beside it.

    Raises ValueError when either is missing or not what this version writes.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}, this version reads {FORMAT}")
        model, settings = str(content["model"]), dict(content["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is no results of `laconic eval` ({type(error).__name__}: {error}); give a "
            f"{RESULTS}, its folder, or a model"
        ) from error
    return Measured(
        model=model, settings=settings, modes=read_outcomes(path.with_name(COMPLETIONS))
    )


def differing_settings(measured: Measured, base: Measured) -> list[str]:
    """Settings, as `name: ours, base's`, under which the two do not compare like with like."""
    return [
        f"{name}: {value}, base {base.settings.get(name)}"
        for name, value in measured.settings.items()
        if base.settings.get(name) != value
    ]


def _against(modes: Modes, base: Measured) -> dict[str, Any]:
    greedy: Comparison | None = None
    if modes.greedy and base.modes.greedy:
        greedy = compare(modes.greedy, base.modes.greedy)
    return {
        "model": base.model,
        "settings": base.settings,
        "aes_weights": AES_WEIGHTS,
        "sampled": compare(modes.sampled, base.modes.sampled),
        "greedy": greedy,
    }


def _decoding(ballots: Ballots, rules: Sequence[Rule]) -> list[dict[str, Any]]:
    return [
        {
            "rule": rule.name,
            "m": rule.m,
            "k": rule.k,
            "subsets": len(subsets(ballots.samples_per_problem, rule.k)),
            **decoding_figures(ballots, rule),
        }
        for rule in dict.fromkeys([ONE_SAMPLE, *rules])
    ]


def _band(band: Band) -> dict[str, Any]:
    return {
        "kind": band.kind,
        "low": band.low,
        "high": band.high,
        "num_problems": band.num_problems,
        "never_trained": band.never_trained,
        **band.figures,
    }


def _curve(curve: Curve) -> dict[str, Any]:
    points = []
    for point in curve.points:
        asked = [Budget(kind=curve.kind, amount=point.amount)] * len(point.outcomes.problems)
        figures = instructed_figures(point.outcomes, asked)
        points.append({"amount": point.amount, "trained": point.trained, **figures})
    return {"kind": curve.kind, "points": points, "trends": curve_trends(curve)}


def _failures(outcomes: Outcomes) -> int:
    return int(np.isnan(outcomes.correct).sum())
