"""`laconic eval`, wired: a recipe, a model and perhaps its base become figures in a folder.

Flow: every problem of the configurations at once -> the base, unless measured earlier -> the model.
Measuring: prompts -> engine -> judged completions, stored -> figures, stored and shown.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.progress import Progress

from data.budgets import described
from data.types import Prompt
from rl.cli.compose import compose
from rl.cli.hub import hub_problem
from rl.cli.inputs import read_held_out
from rl.cli.launch import log_to_stderr, refuse
from rl.cli.machine import Machine, this_machine
from rl.cli.problems import model_path
from rl.cli.recipe import RecipeError
from rl.cli.subject import NOT_ITS_OWN, Subject, chosen_recipe, subject
from rl.config import RunConfig
from rl.evaluate.evaluation import Evaluation
from rl.evaluate.figures import chosen_caps
from rl.evaluate.results import (
    COMPLETIONS,
    Measured,
    Settings,
    differing_settings,
    find_results,
    read_measured,
    results,
    write_results,
)
from rl.evaluate.table import footnotes, headline, tables
from rl.run.folder import create_run_folder, source_commit, write_recipe
from rollout.engine import EngineError
from rollout.stream import GraderError

logger = logging.getLogger(__name__)

PLAIN_LOG_WIDTH = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model to measure, under a configuration that is in order; `text` is its recipe."""

    subject: Subject
    config: RunConfig
    text: str

    @property
    def name(self) -> str:
        return self.subject.name or self.config.model.path


def main(recipe: Path, overrides: Sequence[str], model: str, base: str) -> int:
    """Evaluates `model` (empty: the recipe's) and returns the exit code.

    `base` is an earlier results.json or its folder, another model, or empty.
    """
    machine = this_machine()
    log_to_stderr(machine)
    try:
        recipe, model = chosen_recipe(recipe, model)
        candidate, against = checked(recipe, overrides, model, base, machine)
        # The user's own verifiers lie beside the recipe; at the end of the path they hide nothing.
        sys.path.append(str(recipe.parent.absolute()))
        measure_all(recipe.stem, candidate, against)
    except RecipeError as error:
        refuse(recipe, error, machine)
        return 2
    except (EngineError, GraderError) as error:
        logger.error("laconic: %s: %s", type(error).__name__, error)
        return 1
    return 0


def checked(
    recipe: Path, overrides: Sequence[str], model: str, base: str, machine: Machine
) -> tuple[Candidate, Candidate | Measured | None]:
    """The model and what it is compared with; raises `RecipeError` with all problems of both."""
    problems: dict[str, None] = {}
    earlier = find_results(base) if base else None
    found: list[Candidate | Measured] = []
    for name in [model, base] if base and not earlier else [model]:
        try:
            found.append(candidate_of(recipe, overrides, name, machine))
        except RecipeError as error:
            problems |= dict.fromkeys(error.problems)
    if earlier:
        try:
            found.append(read_measured(earlier))
        except ValueError as error:
            problems[f"--base: {error}"] = None
    if problems:
        raise RecipeError(list(problems))
    candidate, against = found[0], found[1] if base else None
    assert isinstance(candidate, Candidate), "the model comes first"
    return candidate, against


def candidate_of(recipe: Path, overrides: Sequence[str], model: str, machine: Machine) -> Candidate:
    """The model that `model` names under the recipe; the command line's overrides win."""
    chosen = subject(model, machine)
    composed = compose(recipe, [*NOT_ITS_OWN, *chosen.overrides, *overrides], machine)
    if not composed.config.data.eval_path:
        raise RecipeError(
            ["data.eval_path is empty: there are no held-out problems; set data.eval_path"]
        )
    if problem := hub_problem(composed.config.model):
        raise RecipeError([problem])
    return Candidate(subject=chosen, config=composed.config, text=composed.text)


def measure_all(recipe: str, candidate: Candidate, against: Candidate | Measured | None) -> None:
    """Measures the base, where that was not done before, and the model; results in one folder."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        prompts = read_held_out(candidate.config)
        base_prompts = read_held_out(against.config) if isinstance(against, Candidate) else []
        if isinstance(against, Measured):
            check_shared(prompts, against)
        folder = create_run_folder(candidate.config.run.dir, f"eval-{recipe}")
    except ValueError as error:
        raise RecipeError([str(error)]) from error
    base = against
    if isinstance(base, Candidate):
        (folder / "base").mkdir()
        base = measure(base, base_prompts, folder / "base", recipe, None)
    measure(candidate, prompts, folder, recipe, base)


def check_shared(prompts: Sequence[Prompt], base: Measured) -> None:
    """Raises ValueError when none of the problems is among those that the base answered."""
    if not {prompt.id for prompt in prompts} & set(base.modes.sampled.problems):
        raise ValueError(
            f"--base: {base.model} was measured on {base.settings.get('data')}, which shares no "
            "problem with this evaluation; evaluate both on the same data"
        )


def measure(
    candidate: Candidate, prompts: list[Prompt], folder: Path, recipe: str, base: Measured | None
) -> Measured:
    """Evaluates one model; its completions, figures and recipe go to `folder`."""
    from rl.cli.train import lab_version
    from rl.run.completions import write_evaluated

    config, start = candidate.config, perf_counter()
    write_recipe(folder, candidate.text)
    evaluation, engine = generate(candidate, prompts)
    write_evaluated(folder / COMPLETIONS, 0, evaluation)
    measured = Measured(
        model=candidate.name,
        settings=settings_of(config, len(prompts)),
        modes=evaluation.outcomes,
    )
    about = {
        "recipe": recipe,
        "model": candidate.name,
        "revision": config.model.revision,
        "engine": engine,
        "lab_version": lab_version(config),
        "commit": source_commit(),
        "seed": config.seed,
        "wall_s": round(perf_counter() - start, 1),
    }
    caps = chosen_caps(config.evaluation.caps, config.limit.max_response_tokens)
    content = results(measured, about, caps, base)
    path = write_results(folder, content)
    show(content, differing_settings(measured, base) if base else [], path)
    return measured


def generate(candidate: Candidate, prompts: list[Prompt]) -> tuple[Evaluation, str]:
    """Every judged completion, and the name of the engine that wrote them."""
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
        asked = config.evaluation.samples_per_problem + config.evaluation.greedy
        advance = parts.enter_context(bar(candidate.name, len(prompts) * asked))
        work = evaluate_held_out(
            engine, prompts, verifier, config, "eval", heard=lambda judged: advance()
        )
        return loop.run(work), engine.name


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


def settings_of(config: RunConfig, num_problems: int) -> Settings:
    """What two evaluations must have in common to be compared like with like."""
    return {
        "data": config.data.eval_path,
        "split": config.data.eval_split,
        "budget": described(config.budget, held_out=True),
        "num_problems": num_problems,
        "samples_per_problem": config.evaluation.samples_per_problem,
        "temperature": config.evaluation.temperature,
        "top_p": config.evaluation.top_p,
        "max_response_tokens": config.limit.max_response_tokens,
    }


def show(content: Mapping[str, Any], differing: Sequence[str], path: Path) -> None:
    """Prints the results, and what to know about them."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_LOG_WIDTH
    console.print(headline(content), soft_wrap=True, markup=False)
    for table in tables(content):
        console.print()
        console.print(table)
    notes = footnotes(content)
    if differing:
        notes.append(f"measured differently: {'; '.join(differing)}")
    console.print("\n".join(["", *notes, f"results: {path}"]), soft_wrap=True, markup=False)


@contextmanager
def bar(name: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal; yields the function that advances it."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=total)
        yield lambda: progress.advance(task)
