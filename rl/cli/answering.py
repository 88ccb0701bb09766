"""What one engine answers for `laconic eval`: the recipe's held-out problems, and every curve."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import Progress

from data.config import BudgetKind
from data.types import Prompt
from rewards.agreement import numbered_answers
from rl.cli.eval_options import Condition
from rl.cli.inputs import read_held_out
from rl.cli.model_folder import model_path
from rl.cli.recipe import RecipeError
from rl.cli.subject import Subject
from rl.config import RunConfig
from rl.evaluate.ballots import ANSWERS, ballots, write_answers
from rl.evaluate.curves import Curve, Point
from rl.evaluate.evaluation import Evaluation
from rl.evaluate.instructed import bands
from rl.evaluate.results import COMPLETIONS, Further
from rl.evaluate.voting import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model to measure, under a configuration that is in order; `text` is its recipe.

    `rules` are the votes, `conditions` the budgets that the command line asks for.
    """

    subject: Subject
    config: RunConfig
    text: str
    rules: tuple[Rule, ...] = ()
    conditions: tuple[Condition, ...] = ()

    @property
    def name(self) -> str:
        return self.subject.name or self.config.model.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Problems:
    """The held-out problems as the recipe asks them, and under each condition [C]."""

    prompts: list[Prompt]
    asked: list[list[Prompt]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What one engine answered: as the recipe asks, under each condition [C], and with what.

    `numbers` says which samples agree [P][n]; None where no vote was asked for.
    """

    evaluation: Evaluation
    curves: list[Evaluation]
    numbers: list[list[int | None]] | None
    engine: str


def read_problems(candidate: Candidate) -> Problems:
    """The held-out problems; raises ValueError with what is wrong in the files or the data."""
    return Problems(
        prompts=read_held_out(candidate.config),
        asked=[read_held_out(condition.config) for condition in candidate.conditions],
    )


def answer(candidate: Candidate, problems: Problems) -> Answered:
    """Every judged completion, of one engine."""
    from rl.cli.host import start_engine
    from rl.cli.judging import build_verifier, start_pool
    from rl.run.judge import evaluate_held_out
    from rollout.background import BackgroundLoop

    with ExitStack() as parts:
        config = parts.enter_context(loadable(candidate))
        loop = parts.enter_context(closing(BackgroundLoop()))
        started = start_engine(config, loop, version=0)
        engine = started.engine
        parts.callback(engine.shutdown)
        parts.callback(started.transfer.close)
        verifier = build_verifier(config, start_pool(parts, config.verifier, loop))
        samples, greedy = config.evaluation.samples_per_problem, config.evaluation.greedy
        answers = samples * (1 + len(candidate.conditions)) + greedy
        advance = parts.enter_context(bar(candidate.name, len(problems.prompts) * answers))

        def judged(prompts: list[Prompt], asking: RunConfig, name: str) -> Evaluation:
            return loop.run(
                evaluate_held_out(
                    engine, prompts, verifier, asking, name, heard=lambda judged: advance()
                )
            )

        evaluation = judged(problems.prompts, config, "eval")
        numbers = None
        if candidate.rules:
            samples_of = [
                (row[0].prompt, [each.completion for each in row]) for row in evaluation.sampled
            ]
            numbers = loop.run(numbered_answers(samples_of, config.verifier, verifier))
        asked = zip(candidate.conditions, problems.asked, strict=True)
        curves = [judged(prompts, each.config, each.name) for each, prompts in asked]
        return Answered(evaluation=evaluation, curves=curves, numbers=numbers, engine=engine.name)


def write_answered(folder: Path, candidate: Candidate, answered: Answered) -> None:
    """Writes every completion; those of a curve to `curves/`, a file for each budget."""
    from rl.run.completions import write_evaluated

    write_evaluated(folder / COMPLETIONS, 0, answered.evaluation)
    if answered.numbers:
        write_answers(folder / ANSWERS, answered.evaluation, answered.numbers)
    if answered.curves:
        (folder / "curves").mkdir()
    for condition, evaluation in zip(candidate.conditions, answered.curves, strict=True):
        write_evaluated(folder / "curves" / f"{condition.name}.parquet", 0, evaluation)


def further_of(candidate: Candidate, problems: Problems, answered: Answered) -> Further:
    """Votes, budgets and curves as results.json is to have them."""
    budget = candidate.config.budget
    trained = dict.fromkeys(budget.kinds(), budget.amounts(held_out=False))
    points: dict[BudgetKind, list[Point]] = {}
    for condition, evaluation in zip(candidate.conditions, answered.curves, strict=True):
        point = Point(
            amount=condition.amount,
            trained=condition.trained,
            outcomes=evaluation.outcomes.sampled,
        )
        points.setdefault(condition.kind, []).append(point)
    return Further(
        ballots=ballots(answered.evaluation, answered.numbers) if answered.numbers else None,
        rules=candidate.rules,
        bands=bands(
            answered.evaluation.outcomes.sampled, [p.budget for p in problems.prompts], trained
        ),
        curves=[Curve(kind=kind, points=tuple(each)) for kind, each in points.items()],
    )


@contextmanager
def loadable(candidate: Candidate) -> Iterator[RunConfig]:
    """The configuration with a model that an engine can load: a checkpoint is exported first."""
    from rl.learner.consolidate import export_checkpoint

    checkpoint, trained = candidate.subject.checkpoint, candidate.subject.trained
    if checkpoint is None or trained is None:
        yield candidate.config
        return
    with TemporaryDirectory(prefix="laconic-eval-") as folder:
        try:
            export_checkpoint(
                checkpoint / "learner",
                Path(folder),
                trained.model,
                trained.learner.lora,
                model_path(trained),
            )
        except ValueError as error:
            raise RecipeError([str(error)]) from error
        exported = replace(candidate.config.model, path=folder, revision="main")
        yield replace(candidate.config, model=exported)


@contextmanager
def bar(name: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal; yields the function that advances it."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=total)
        yield lambda: progress.advance(task)
