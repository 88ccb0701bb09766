"""Where every start of Laconic begins: are `data`, `rewards`, `rollout` and `rl` ours?

Installed as `_laconic_entry`, a name of its own, so that the question can be asked before anything
is imported from packages whose names a user's folder may carry too.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("data", "rewards", "rollout", "rl")


def run(recipe: str) -> None:
    """Runs a recipe with the overrides on the command line; called by the recipe hook."""
    _stop_if_shadowed(Path(recipe).parent)
    from rl.cli.launch import main

    main(recipe, sys.argv[1:])


def command() -> None:
    """The `laconic` command."""
    _stop_if_shadowed()
    from rl.cli.main import main

    main()


def shadows(root: Path, recipe_folder: Path | None = None) -> list[str]:
    """One line for each package of ours that something on the path, or beside a recipe, hides."""
    found = []
    for name in PACKAGES:
        ours = root / name
        theirs = _location(name)
        if theirs is not None and theirs.resolve() != ours.resolve():
            found.append(f"  {theirs} shadows {ours}")
        elif recipe_folder is not None and (theirs := _namesake(recipe_folder, root, name)):
            found.append(f"  {theirs}, beside the recipe, has the name of {ours}")
    return found


def installation_root() -> Path:
    """The folder that holds our four packages."""
    for entry in sys.path:
        if os.path.isfile(os.path.join(entry, "rl", "cli", "launch.py")):
            return Path(entry).absolute()
    raise SystemExit("laconic: its packages are not on sys.path; install it again")


def _location(name: str) -> Path | None:
    spec = find_spec(name)
    if spec is None:
        return None
    if spec.origin and not spec.origin.endswith("__init__.py"):
        return Path(spec.origin)
    places = list(spec.submodule_search_locations or [])
    return Path(places[0]) if places else None


def _namesake(folder: Path, root: Path, name: str) -> Path | None:
    module, package = folder / f"{name}.py", folder / name
    if module.is_file():
        return module
    is_package = package.is_dir() and any(package.glob("*.py"))
    return package if is_package and package.resolve() != (root / name).resolve() else None


def _stop_if_shadowed(recipe_folder: Path | None = None) -> None:
    root, names = installation_root(), ", ".join(PACKAGES)
    if found := shadows(root, recipe_folder):
        _say(
            f"laconic: the names {names} belong to Laconic's own packages, but",
            *found,
            "Rename or move these, or take their folder off PYTHONPATH.",
        )
        raise SystemExit(2)
    beside = [path for name in PACKAGES if (path := _namesake(Path.cwd(), root, name))]
    if beside:
        unused = ", ".join(map(str, beside))
        _say(f"laconic: not used: {unused}; the names {names} are those of Laconic's packages")


def _say(*lines: str) -> None:
    if os.environ.get("RANK", "0") == "0":
        sys.stderr.write("\n".join(lines) + "\n")
