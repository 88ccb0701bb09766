"""`resume=PATH|latest`: the recipe saved in the run's folder wins over the one named.

PATH is a run's folder, which goes on from its latest checkpoint, or one of its checkpoints.
"""

from collections.abc import Sequence
from pathlib import Path

from rl.cli.recipe import RecipeError, show
from rl.run.identity import MAY_CHANGE, may_change, run_of


def resumed(recipe: Path, overrides: Sequence[str]) -> tuple[Path, list[str]]:
    """The recipe and the overrides to compose: those of the run that is resumed, if one is.

    Raises `RecipeError` when there is no such run or an override would change it.
    """
    asked = [text for text in overrides if text.lstrip("+").startswith("resume=")]
    place = asked[-1].partition("=")[2].strip("'\"") if asked else ""
    if not place:
        return recipe, list(overrides)
    folder = _newest(recipe.stem) if place == "latest" else _folder(place)
    saved = run_of(folder) / "recipe.yaml"
    others = [text for text in overrides if text not in asked]
    refused = [text for text in others if not may_change(text.lstrip("+").partition("=")[0])]
    problems = [
        f"{text!r} with resume={place}: the resumed run keeps its recipe; only "
        f"{', '.join(MAY_CHANGE)} may be set"
        for text in refused
    ]
    if not saved.is_file():
        problems.insert(0, f"resume={place}: {show(folder)} is no run: it has no recipe.yaml")
    if problems:
        raise RecipeError(problems)
    return saved, [*others, f"resume='{folder}'"]


def _folder(place: str) -> Path:
    try:
        folder = Path(place).expanduser().absolute()
        folder.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise RecipeError([f"resume={place[:200]!r} is no path ({str(error)[:100]})"]) from error
    return folder


def _newest(stem: str) -> Path:
    from rl.run.folder import newest_run

    try:
        return newest_run(stem)
    except ValueError as error:
        raise RecipeError([str(error)]) from error
