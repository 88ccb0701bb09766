"""Lets Python, hence torchrun, run a recipe: `python x.yaml key=value`.

Installed as `_laconic_recipe_hook`; laconic_recipes.pth imports it in every interpreter.
"""

import sys
from importlib.machinery import ModuleSpec


class RecipeFinder:
    """Finds `__main__` in a YAML file: Python asks `sys.path_hooks` before it reads a script."""

    def __init__(self, path: str) -> None:
        if not path.endswith(".yaml"):
            raise ImportError
        self.path = path

    def find_spec(self, name: str, target: object = None) -> ModuleSpec | None:
        if name != "__main__":
            return None
        return ModuleSpec(name, self, origin=self.path)  # type: ignore[arg-type]

    def get_code(self, name: str) -> object:
        return compile("import _laconic_entry as e; e.run(__spec__.origin)", self.path, "exec")


sys.path_hooks.append(RecipeFinder)
