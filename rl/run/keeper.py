"""The keeper: saves the run's last complete step, when it is due and when a signal ends the run.

A signal leaves the loop in the middle of a rollout, of scoring or of an evaluation. Since the step
before, only the run's state (prompts drawn, what a reward remembers) and rank 0's random numbers
have moved, so these are put back before saving.
"""

from dataclasses import dataclass, field
from typing import Any

from rl.learner.rng import State, generators, set_generators
from rl.run.checkpoint import drop_old, save_checkpoint
from rl.run.identity import identity
from rl.run.journal import Journal
from rl.run.loop import Run
from rl.run.rows import sizes


@dataclass(slots=True, kw_only=True)
class Keeper:
    """Knows the last complete step and whether it is saved."""

    run: Run
    journal: Journal
    step: int
    """The last complete step."""
    saved_step: int
    """The newest step that a checkpoint holds; 0 for none."""
    evaluated: bool = False
    """Whether the evaluation that was due after `step` is made."""
    _state: dict[str, Any] = field(default_factory=dict)
    _generators: State = field(default_factory=dict)

    def completed(self, step: int) -> None:
        """`step` is trained, published and logged."""
        self.step, self.evaluated = step, False
        self._state = self.run.state()
        self._generators = generators()

    def save(self) -> None:
        """Saves the last complete step and drops the checkpoints that are no longer kept."""
        folder, run = self.journal.folder, self.run
        state = run.state() | {
            "num_tokens": self.journal.num_tokens,
            "evaluated": self.evaluated,
            "rows": sizes(folder),
            "identity": identity(run.config),
        }
        save_checkpoint(folder, self.step, state, run.learner)
        self.saved_step = self.step
        self.drop_old()

    def drop_old(self) -> None:
        """Keeps the newest and the best checkpoints only."""
        settings = self.run.config.checkpoint
        drop_old(self.journal.folder, settings.keep_last, settings.keep_best)

    def save_interrupted(self) -> str:
        """Saves the last complete step unless it is saved; returns what a resumed run starts from.

        To be called when the loop was left by `Interrupted`.
        """
        if self.step > self.saved_step:
            self.run.load(self._state)
            set_generators(self._generators)
            self.save()
        return f"step {self.step} is saved" if self.saved_step else "no step is complete"
