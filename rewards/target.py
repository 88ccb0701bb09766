"""The user's own function, named by a dotted path in a recipe."""

from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any


def load_target(key: str, target: str, args: dict[str, Any], shape: str) -> Callable[..., Any]:
    """The callable at `target`, or what the factory at `target` makes of `args`.

    The recipe's folder must be importable. `key` is the recipe's key that names it, `shape`
    what it is called with. Raises ValueError, with the key to set, when nothing callable is
    there or the factory refuses its arguments.
    """
    found = resolve(key, target, shape)
    if not args:
        return found
    made = call_factory(found, key, target, args)
    if not callable(made):
        raise ValueError(
            f"{key}={target}: with {args_key(key)} it is a factory, but it returned "
            f"{type(made).__name__}, which cannot be called; return a {shape}"
        )
    return made  # type: ignore[no-any-return]


def call_factory(factory: Callable[..., Any], key: str, target: str, args: dict[str, Any]) -> Any:
    """What the user's `factory`, found at `target`, makes of `args`; a ValueError names the key."""
    try:
        return factory(**args)
    # A user's factory raises what it likes.
    except Exception as error:
        raise ValueError(
            f"{args_key(key)}={args}: {target} refused them ({type(error).__name__}: {error}); "
            f"set {args_key(key)} to its parameters"
        ) from error


def args_key(key: str) -> str:
    """The recipe's key of the arguments that go with the target at `key`."""
    return f"{key.removesuffix('target')}args"


def resolve(key: str, target: str, shape: str) -> Callable[..., Any]:
    """The callable at `target`; a ValueError names the key and the `shape` that it must have."""
    try:
        found = resolve_name(target)
    # Importing a user's module runs it, and it may raise anything.
    except Exception as error:
        raise ValueError(
            f"{key}={target}: cannot be imported ({type(error).__name__}: {error}); name a "
            "function as module.name, where module.py lies beside the recipe or is installed"
        ) from error
    if not callable(found):
        raise ValueError(f"{key}={target}: is a {type(found).__name__}; name a {shape}")
    return found  # type: ignore[no-any-return]
