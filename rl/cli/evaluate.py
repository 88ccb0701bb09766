"""`laconic eval`, wired: a recipe, a model and perhaps its base become figures in a folder.

Flow: every problem of the configurations at once -> the base, unless measured earlier -> the model.
Measuring: prompts -> engine -> judged completions, stored -> figures, stored and shown. Votes and
curves that the command line asks for are measured by the same engine.
"""

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console

from data.budgets import described
from data.types import Prompt
from rl.cli.answering import (
    Candidate,
    Problems,
    answer,
    further_of,
    read_problems,
    write_answered,
)
from rl.cli.compose import compose
from rl.cli.eval_options import (
    NO_OPTIONS,
    FurtherOptions,
    conditions_of,
    further_problems,
    rules_of,
)
from rl.cli.hub import hub_problem
from rl.cli.launch import log_to_stderr, refuse
from rl.cli.machine import Machine, this_machine
from rl.cli.recipe import RecipeError
from rl.cli.subject import NOT_ITS_OWN, chosen_recipe, subject
from rl.config import RunConfig
from rl.evaluate.figures import chosen_caps
from rl.evaluate.results import (
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


def main(
    recipe: Path,
    overrides: Sequence[str],
    model: str,
    base: str,
    further: FurtherOptions = NO_OPTIONS,
) -> int:
    """Evaluates `model` (empty: the recipe's) and returns the exit code.

    `base` is an earlier results.json or its folder, another model, or empty.
    """
    machine = this_machine()
    log_to_stderr(machine)
    try:
        recipe, model = chosen_recipe(recipe, model)
        candidate, against = checked(recipe, overrides, model, base, machine, further)
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
    recipe: Path,
    overrides: Sequence[str],
    model: str,
    base: str,
    machine: Machine,
    further: FurtherOptions = NO_OPTIONS,
) -> tuple[Candidate, Candidate | Measured | None]:
    """The model and what it is compared with; raises `RecipeError` with all problems of both."""
    problems: dict[str, None] = {}
    earlier = find_results(base) if base else None
    found: list[Candidate | Measured] = []
    for name in [model, base] if base and not earlier else [model]:
        try:
            found.append(candidate_of(recipe, overrides, name, machine, further))
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


def candidate_of(
    recipe: Path,
    overrides: Sequence[str],
    model: str,
    machine: Machine,
    further: FurtherOptions = NO_OPTIONS,
) -> Candidate:
    """The model that `model` names under the recipe; the command line's overrides win."""
    chosen = subject(model, machine)
    composed = compose(recipe, [*NOT_ITS_OWN, *chosen.overrides, *overrides], machine)
    if not composed.config.data.eval_path:
        raise RecipeError(
            ["data.eval_path is empty: there are no held-out problems; set data.eval_path"]
        )
    if problems := further_problems(further, composed.config):
        raise RecipeError(problems)
    if problem := hub_problem(composed.config.model):
        raise RecipeError([problem])
    return Candidate(
        subject=chosen,
        config=composed.config,
        text=composed.text,
        rules=rules_of(further),
        conditions=tuple(conditions_of(further, composed.config)),
    )


def measure_all(recipe: str, candidate: Candidate, against: Candidate | Measured | None) -> None:
    """Measures the base, where that was not done before, and the model; results in one folder."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        problems = read_problems(candidate)
        base_problems = read_problems(against) if isinstance(against, Candidate) else None
        if isinstance(against, Measured):
            check_shared(problems.prompts, against)
        folder = create_run_folder(candidate.config.run.dir, f"eval-{recipe}")
    except ValueError as error:
        raise RecipeError([str(error)]) from error
    base = against
    if isinstance(base, Candidate):
        assert base_problems is not None, "read above"
        (folder / "base").mkdir()
        base = measure(base, base_problems, folder / "base", recipe, None)
    measure(candidate, problems, folder, recipe, base)


def check_shared(prompts: Sequence[Prompt], base: Measured) -> None:
    """Raises ValueError when none of the problems is among those that the base answered."""
    if not {prompt.id for prompt in prompts} & set(base.modes.sampled.problems):
        raise ValueError(
            f"--base: {base.model} was measured on {base.settings.get('data')}, which shares no "
            "problem with this evaluation; evaluate both on the same data"
        )


def measure(
    candidate: Candidate, problems: Problems, folder: Path, recipe: str, base: Measured | None
) -> Measured:
    """Evaluates one model; its completions, figures and recipe go to `folder`."""
    from rl.cli.train import lab_version

    config, start = candidate.config, perf_counter()
    write_recipe(folder, candidate.text)
    answered = answer(candidate, problems)
    write_answered(folder, candidate, answered)
    measured = Measured(
        model=candidate.name,
        settings=settings_of(config, len(problems.prompts)),
        modes=answered.evaluation.outcomes,
    )
    about = {
        "recipe": recipe,
        "model": candidate.name,
        "revision": config.model.revision,
        "engine": answered.engine,
        "lab_version": lab_version(config),
        "commit": source_commit(),
        "seed": config.seed,
        "wall_s": round(perf_counter() - start, 1),
    }
    caps = chosen_caps(config.evaluation.caps, config.limit.max_response_tokens)
    content = results(measured, about, caps, base, further_of(candidate, problems, answered))
    path = write_results(folder, content)
    show(content, differing_settings(measured, base) if base else [], path)
    return measured


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
