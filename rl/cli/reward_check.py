"""`laconic reward check RECIPE`: what a recipe's reward, gate and algorithm do to short and long,
right and wrong answers.

Exit status 0 when every property holds or the paper gives it up, 1 when one does not, 2 for a
recipe that cannot run.
"""

import argparse
import json
import sys
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from data.memory import PromptMemory
from data.types import Completion, Score
from rewards.check import Finding, MakeReward, Sweep, findings, sweep
from rewards.compose import score
from rewards.config import CustomRewardConfig
from rewards.protocols import RewardError
from rl.algorithms.dynamic_sampling import outcomes_differ
from rl.algorithms.polarity import effective_weight, flip_rate, length_only_rate
from rl.algorithms.table import known_advantages
from rl.cli.compose import compose
from rl.cli.judging import build_reward, check_user_code
from rl.cli.launch import refuse
from rl.cli.machine import this_machine
from rl.cli.options import option_name
from rl.cli.recipe import RecipeError, show
from rl.config import RunConfig
from rollout.background import BackgroundLoop

PLAIN_WIDTH = 150
EXAMPLES = (0.0, 0.5, 1.0)
"""Shares of right answers of the groups whose samples are printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One answer of the sweep: what it is worth, and its advantage with and without length."""

    tokens: int
    correct: bool
    truncated: bool
    parts: dict[str, float]
    total: float
    advantage: float
    advantage_by_correctness: float

    @property
    def flipped(self) -> bool:
        return self.advantage * self.advantage_by_correctness < 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that is printed. `given_up` are the properties that the paper does without."""

    recipe: str
    method: str
    properties: list[Finding]
    given_up: dict[str, str]
    effective_weight: float
    flip_rate: float
    length_only_rate: float
    num_samples: int
    groups: list[list[Sample]]

    @property
    def failed(self) -> list[str]:
        return [f.name for f in self.properties if not f.holds and f.name not in self.given_up]


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `reward check` to the `laconic` command."""
    parser = commands.add_parser("reward", help="what a recipe's reward does to long and short")
    names = parser.add_subparsers(required=True, metavar="NAME")
    check = names.add_parser("check", help="sweep correctness and length", description=__doc__)
    check.add_argument("recipe", type=Path, help="a recipe's YAML file")
    check.add_argument("overrides", nargs="*", help="key=value or group=name, as Hydra reads them")
    check.add_argument("--json", action="store_true", help="everything, as one line of JSON")
    check.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    """Checks the recipe's reward and prints the report."""
    machine = this_machine()
    try:
        config = compose(asked.recipe, asked.overrides, machine).config
        # The user's own rewards lie beside the recipe; at the end of the path they hide nothing.
        sys.path.append(str(asked.recipe.parent.absolute()))
        try:
            check_user_code(config)
            report = examine(config, show(asked.recipe))
        except (RewardError, ValueError) as error:
            raise RecipeError([str(error)]) from error
    except RecipeError as error:
        refuse(asked.recipe, error, machine)
        return 2
    if asked.json:
        sys.stdout.write(json.dumps(as_json(report)) + "\n")
    else:
        console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
        for part in as_tables(report):
            console.print(part)
    return 1 if report.failed else 0


def examine(config: RunConfig, recipe: str = "") -> Report:
    """The reward's properties, and what the algorithm makes of it over one swept update."""
    size, limit = config.algorithm.group_size, config.limit.max_response_tokens
    kinds = sorted(config.budget.kinds())
    with ExitStack() as parts:
        make = reward_maker(config, parts)
        properties = findings(make, size, limit, kinds)
        trained = trained_groups(config, sweep(size, limit, kinds))
        scores = make()(trained.groups, trained.verdicts)
    advantages = known_advantages(config.algorithm)
    with_length = advantages(trained.groups, scores)
    without = advantages(trained.groups, [[score(ok) for ok in row] for row in trained.correct])
    groups = [
        list(map(_sample, group.completions, row, values, plains))
        for group, row, values, plains in zip(
            trained.groups, scores, with_length, without, strict=True
        )
    ]
    lengths = [group.lengths for group in trained.groups]
    return Report(
        recipe=recipe,
        method=_method(config),
        properties=properties,
        given_up=config.reward.given_up(),
        effective_weight=effective_weight(with_length, trained.correct, lengths),
        flip_rate=flip_rate(with_length, without),
        length_only_rate=length_only_rate(with_length, without),
        num_samples=sum(map(len, groups)),
        groups=groups,
    )


def reward_maker(config: RunConfig, parts: ExitStack) -> MakeReward:
    """Makes the recipe's reward anew, without memory; one of the user's own has a process and is
    made once."""
    loop = parts.enter_context(closing(BackgroundLoop()))
    if isinstance(config.reward, CustomRewardConfig):
        reward = build_reward(config, parts, loop, PromptMemory())
        return lambda: reward
    return lambda: build_reward(config, parts, loop, PromptMemory())


def trained_groups(config: RunConfig, swept: Sweep) -> Sweep:
    """The groups that an update sees: under dynamic sampling those of mixed outcome."""
    if not config.algorithm.dynamic_sampling:
        return swept
    pairs = zip(swept.groups, swept.verdicts, strict=True)
    mixed = [(group, judged) for group, judged in pairs if outcomes_differ(group, judged)]
    return Sweep(groups=[group for group, _ in mixed], verdicts=[judged for _, judged in mixed])


def _sample(completion: Completion, score: Score, advantage: float, plain: float) -> Sample:
    return Sample(
        tokens=completion.num_tokens,
        correct=score.correct,
        truncated=completion.truncated,
        parts=score.parts,
        total=score.total,
        advantage=advantage,
        advantage_by_correctness=plain,
    )


def _method(config: RunConfig) -> str:
    sections = (
        ("reward", config.reward), ("gate", config.gate), ("algorithm", config.algorithm)
    )  # fmt: skip
    return ", ".join(f"{group}={option_name(group, section)}" for group, section in sections)


def as_json(report: Report) -> dict[str, Any]:
    """The report as JSON holds it; a number that is none becomes null."""
    content = asdict(report) | {"failed": report.failed}
    weight = report.effective_weight
    return content | {"effective_weight": weight if weight == weight else None}


def as_tables(report: Report) -> list[Table | str]:
    """Properties, then the audit of the advantages, then the samples of three groups."""
    properties = Table("property", "holds", "seen", title=f"{report.recipe}: {report.method}")
    for finding in report.properties:
        reason = report.given_up.get(finding.name, "")
        holds = "yes" if finding.holds else f"no, as the paper: {reason}" if reason else "NO"
        properties.add_row(finding.name, holds, finding.seen)
    audit = [
        f"over {report.num_samples} samples of the sweep, not of a model:",
        f"  effective weight of length  {report.effective_weight:+.3f}  (a standard deviation of "
        "length in its group, against one of correctness)",
        f"  polarity flip rate          {report.flip_rate:.1%}  (advantage of the opposite sign)",
        f"  pushed by length alone      {report.length_only_rate:.1%}  (no advantage without it)",
    ]
    return [properties, "\n".join(audit), *map(_samples, _examples(report))]


def _examples(report: Report) -> list[list[Sample]]:
    """The first group of the sweep with none, half and all of its answers right, as they exist."""
    found = []
    for share in EXAMPLES:
        size = len(report.groups[0])
        wanted = round(share * size)
        found += [g for g in report.groups if sum(s.correct for s in g) == wanted][:1]
    return found


def _samples(group: list[Sample]) -> Table:
    num_right = sum(sample.correct for sample in group)
    names = sorted({name for sample in group for name in sample.parts})
    table = Table(title=f"{num_right} of {len(group)} right")
    for heading in ("tokens", "", *names, "reward", "advantage", "without length", ""):
        table.add_column(heading, justify="right")
    for sample in sorted(group, key=lambda s: s.tokens):
        table.add_row(
            str(sample.tokens),
            "right" if sample.correct else "cut off" if sample.truncated else "wrong",
            *(f"{sample.parts.get(name, 0.0):+.3f}" for name in names),
            f"{sample.total:+.3f}",
            f"{sample.advantage:+.3f}",
            f"{sample.advantage_by_correctness:+.3f}",
            "flipped" if sample.flipped else "",
        )
    return table
