"""What `laconic eval` evaluates: a model by Hub name or folder, a run's export, a checkpoint."""

from dataclasses import dataclass
from pathlib import Path

from rl.cli.compose import compose
from rl.cli.machine import Machine
from rl.cli.recipe import RecipeError, show
from rl.config import RunConfig

NOT_ITS_OWN = ("run.dir=''", "resume=''")
"""An evaluation has a folder of its own: where the recipe trained is left aside."""

OTHER_SHAPES = tuple(
    f"model.{name}=0"
    for name in (
        "num_parameters", "num_layers", "hidden_size", "num_kv_heads", "head_dim", "vocab_size",
        "context_tokens",
    )
)  # fmt: skip
"""Shapes that a recipe states are those of its own model; these are read from the files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model: how it was named, and the overrides that make a recipe use it.

    `checkpoint` is the folder of a training checkpoint, which has to be exported before an engine
    can load it; the overrides then name the model that the training began with. `trained` is the
    configuration of that training.
    """

    name: str
    overrides: tuple[str, ...] = ()
    checkpoint: Path | None = None
    trained: RunConfig | None = None


def chosen_recipe(recipe: Path, model: str) -> tuple[Path, str]:
    """The recipe's file and the model; a run's folder in place of a recipe stands for both."""
    if not recipe.is_dir():
        return recipe, model
    if not (recipe / "recipe.yaml").is_file():
        raise RecipeError(
            [f"{show(recipe)} is a folder without recipe.yaml: give a recipe, or a run's folder"]
        )
    return recipe / "recipe.yaml", model or str(recipe)


def subject(model: str, machine: Machine) -> Subject:
    """The model that `model` names; empty is the recipe's own.

    Raises `RecipeError` for a run that has no export, or a checkpoint that is in no run.
    """
    if not model:
        return Subject(name="")
    folder = Path(model).expanduser().absolute()
    if (folder / "learner").is_dir():
        return _checkpoint(model, folder, machine)
    # An export holds its run's recipe too, beside the model.
    if (folder / "recipe.yaml").is_file() and not (folder / "config.json").is_file():
        return _model(model, str(_export(folder)))
    return _model(model, str(folder) if folder.is_dir() else model)


def _model(name: str, path: str, revision: str = "main") -> Subject:
    places = (f"model.path={quoted(path)}", f"model.revision={quoted(revision)}")
    return Subject(name=name, overrides=(*places, *OTHER_SHAPES))


def _export(run: Path) -> Path:
    if (run / "export" / "config.json").is_file():
        return run / "export"
    saved = sorted((run / "checkpoints").glob("step_*"), key=lambda path: path.stat().st_mtime_ns)
    instead = f"; its newest checkpoint is {show(saved[-1])}" if saved else ""
    raise RecipeError([f"{show(run)}: the run has no export, it did not reach its end{instead}"])


def _checkpoint(name: str, folder: Path, machine: Machine) -> Subject:
    recipe = folder.parent.parent / "recipe.yaml"
    if not recipe.is_file():
        raise RecipeError(
            [f"{show(folder)} is a checkpoint outside its run: {show(recipe)} is missing"]
        )
    trained = compose(recipe, NOT_ITS_OWN, machine).config
    began = _model(name, trained.model.path, trained.model.revision)
    return Subject(name=name, overrides=began.overrides, checkpoint=folder, trained=trained)


def quoted(text: str) -> str:
    """`text` as a value that Hydra reads as it stands."""
    escaped = text.replace("'", "\\'")
    return f"'{escaped}'"
