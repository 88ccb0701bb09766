"""Weights & Biases: online with a key, offline without, off by choice; imported only here.

Nothing that W&B does may end a run: what it raises is logged once and the run goes on without it
(`metrics.jsonl` has the same numbers). Its files lie in the run's folder, and so does its run id,
with which a resumed run continues the same W&B run.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any

from rl.config import TrackerMode
from rl.run.metrics import check_table

logger = logging.getLogger(__name__)

INIT_TIMEOUT_SECONDS = 30
FINISH_TIMEOUT_SECONDS = 60


class Tracker:
    """Logs to one W&B run, or to nothing."""

    def __init__(self, run: Any) -> None:
        """`run` is a `wandb.Run`, or None."""
        self._run = run

    @property
    def location(self) -> str:
        """The run's address, or the folder to give to `wandb sync`; empty when off."""
        if self._run is None:
            return ""
        return str(Path(self._run.dir).parent if self._run.offline else self._run.url)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Logs one step; W&B drops a step lower than the last."""
        self._try("log", lambda run: run.log(dict(metrics), step=step))

    def table(self, step: int, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Logs rows that share their keys as the table `name` of `step`; nothing without rows.

        `step` may be that of the last `log`, and its metrics then stand beside the table.
        """
        if not rows:
            return
        check_table(name)
        self._try("table", lambda run: run.log({name: _table(rows)}, step=step))

    def summarize(self, summary: Mapping[str, Any]) -> None:
        """Puts the contents of `summary.json` beside the run's last metrics."""
        self._try("summarize", lambda run: run.summary.update({"summary": dict(summary)}))

    def close(self, exit_code: int = 0) -> None:
        """Ends the run; waits for what is left to send, but not for long."""
        self._try("finish", lambda run: _finish(run, exit_code))
        self._run = None

    def _try(self, what: str, call: Callable[[Any], object]) -> None:
        if self._run is None:
            return
        try:
            call(self._run)
        # Whatever W&B raises (its classes share no base): the run's own numbers are on disk.
        except Exception as error:
            logger.warning(
                "W&B: %s failed (%r); the run goes on without it, metrics.jsonl is complete",
                what,
                error,
            )
            self._run = None


def key_problem(mode: TrackerMode) -> str | None:
    """Why a run cannot be recorded online as it is asked to; asks no server."""
    if mode is not TrackerMode.online:
        return None
    import wandb

    # As the run will be, whatever WANDB_MODE says.
    wandb.setup(wandb.Settings(silent=True, mode="online"))
    try:
        found = "" if wandb.login(prompt=False, verify=False) else "there is no key"
    except wandb.Error as error:
        found = str(error)
    finally:
        wandb.teardown()
    mend = "run `wandb login`, or set log.wandb=auto to record offline where there is no key"
    return f"log.wandb=online: {found}; {mend}" if found else None


def start_tracker(
    mode: TrackerMode, folder: Path, project: str, config: Mapping[str, Any]
) -> Tracker:
    """Opens the run's W&B run, or the one that `folder/wandb_id` names.

    `config` is the resolved recipe. When the server cannot be reached within half a minute, one
    warning is logged and the run is recorded offline.
    """
    if mode is TrackerMode.off:
        return Tracker(None)
    import wandb

    # W&B copies tables before it sends them; by default into the user's home.
    os.environ.setdefault("WANDB_DATA_DIR", str(folder / "wandb"))
    wandb.setup(wandb.Settings(silent=True))
    try:
        return Tracker(_init(_choose(mode), folder, project, config))
    except wandb.Error as error:
        logger.warning("W&B: cannot start online (%s); recording offline", error)
        wandb.teardown()
        return Tracker(_init("offline", folder, project, config))


def _table(rows: Sequence[Mapping[str, Any]]) -> Any:
    import wandb

    columns = list(rows[0])
    data = [[row[column] for column in columns] for row in rows]
    # A step without budgets has a column of nothing, one without failures a column of "".
    return wandb.Table(columns=columns, data=data, allow_mixed_types=True)


def _finish(run: Any, exit_code: int) -> None:
    import wandb

    run.finish(exit_code=exit_code)
    # An offline run is on disk only when the service has ended.
    wandb.teardown()


def _choose(mode: TrackerMode) -> str:
    """`online` or `offline`; under `auto` the variable WANDB_MODE decides before the key does."""
    import wandb

    if mode is TrackerMode.offline:
        return "offline"
    if mode is TrackerMode.auto and "WANDB_MODE" in os.environ:
        return os.environ["WANDB_MODE"]
    has_key = wandb.login(prompt=False, verify=False)
    return "online" if has_key or mode is TrackerMode.online else "offline"


def _init(choice: Any, folder: Path, project: str, config: Mapping[str, Any]) -> Any:
    import wandb

    id_file = folder / "wandb_id"
    if not id_file.exists():
        id_file.write_text(token_hex(4))
    return wandb.init(
        project=project,
        name=folder.name,
        id=id_file.read_text(),
        resume="allow",
        dir=str(folder),
        mode=choice,
        config=dict(config),
        settings=wandb.Settings(
            silent=True,
            console="off",
            # The run's summary names the commit; a remote's address or a diff may hold secrets.
            disable_git=True,
            disable_code=True,
            init_timeout=INIT_TIMEOUT_SECONDS,
            finish_timeout=FINISH_TIMEOUT_SECONDS,
        ),
    )
