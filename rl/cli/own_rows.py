"""Rows of a dataset, a user's own function that makes them included."""

from collections.abc import Iterable, Mapping
from typing import Any

from data.config import CUSTOM, DataConfig
from data.rows import Row, load_rows
from rewards.target import load_target

KEY = "data.target"
SHAPE = "function(split), which returns rows"
ROW = 'a dict such as {"prompt": "2+2?", "answer": "4"}'


def rows_of(config: DataConfig, path: str, split: str) -> list[Row]:
    """As `load_rows`; where `path` is `custom`, what the user's function returns for `split`.

    It is called in the process of rank 0 before anything heavy starts; the recipe's folder must be
    importable. Raises ValueError, with what to set or return, when it is not there, raises, or
    returns something other than rows.
    """
    if path != CUSTOM:
        return load_rows(path, split)
    function = load_target(KEY, config.target, config.args, SHAPE)
    try:
        returned = function(split)
        # A generator runs, and may raise, only here.
        rows = list(returned) if isinstance(returned, Iterable) else returned
    # A user's function raises what it likes; the message says where.
    except Exception as error:
        raise ValueError(
            f"{KEY}={config.target}: raised {type(error).__name__}: {error} for split {split!r}"
        ) from error
    return _checked(rows, config.target)


def _checked(rows: Any, target: str) -> list[Row]:
    if not isinstance(rows, list):
        raise ValueError(f"{KEY}={target}: returned {rows!r:.100}; return rows, each {ROW}")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping) or not all(isinstance(name, str) for name in row):
            raise ValueError(f"{KEY}={target}: row {number} is {row!r:.100}; return {ROW}")
    return [dict(row) for row in rows]
