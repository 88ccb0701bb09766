"""The user's own function, named by a dotted path in a recipe."""

from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any


def load_target(section: str, target: str, args: dict[str, Any], shape: str) -> Callable[..., Any]:
    """The callable at `target`, or what the factory at `target` makes of `args`.

    The recipe's folder must be importable. `section` is the part of the recipe that names it,
    `shape` what it is called with. Raises ValueError, with the key to set, when nothing callable is
    there or the factory refuses its arguments.
    """
    found = _resolve(section, target, shape)
    if not args:
        return found
    try:
        made = found(**args)
    except TypeError as error:
        raise ValueError(
            f"{section}.args={args}: {target} refused them ({error}); "
            f"set {section}.args to its parameters"
        ) from error
    if not callable(made):
        raise ValueError(
            f"{section}.target={target}: with {section}.args it is a factory, but it returned "
            f"{type(made).__name__}, which cannot be called; return a {shape}"
        )
    return made  # type: ignore[no-any-return]


def _resolve(section: str, target: str, shape: str) -> Callable[..., Any]:
    try:
        found = resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{section}.target={target}: cannot be imported ({error}); name a function as "
            "module.name, where module.py lies beside the recipe or is installed"
        ) from error
    if not callable(found):
        raise ValueError(f"{section}.target={target}: is a {type(found).__name__}; name a {shape}")
    return found  # type: ignore[no-any-return]
