"""Which completions are under way, and what each needs next: the windows of T-PPO, without I/O.

A completion runs for one window of tokens, is parked until the next step, and runs on from there,
under the weights of then: running -> parked -> running -> ... -> done (T-PPO, arXiv:2506.15050). A
cut parks what runs before its window is full: the partial rollouts of Kimi k1.5 (arXiv:2501.12599)
and APRIL (arXiv:2509.18521).
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from data.types import Completion, Finish, Prompt
from data.wire import decode as from_bytes
from data.wire import encode as to_bytes
from rollout.continuation import Decode, extended, joined
from rollout.engine import Sampling
from rollout.scheduling.priorities import continued
from rollout.seeds import derived_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """A completion under way: what was asked for, and what there is of it.

    `begun` has finish WINDOW; None before the first window has ended. `round` is the number of
    windows that have.
    """

    prompt: Prompt
    sampling: Sampling
    begun: Completion | None = None
    round: int = 0

    @property
    def num_tokens(self) -> int:
        """Tokens so far."""
        return 0 if self.begun is None else len(self.begun.token_ids)

    @property
    def request_id(self) -> str:
        """The id of this window's request; that of the whole completion is `sampling.id`."""
        return f"{self.sampling.id}/w{self.round}"

    def request(self, window: int) -> tuple[Prompt, Sampling]:
        """This window's request: the tokens so far end its prompt, the budget left caps it."""
        asked = self.sampling
        sampling = replace(
            asked,
            id=self.request_id,
            limit=min(window, asked.limit - self.num_tokens),
            seed=window_seed(asked.seed, self.round),
            priority=continued(asked.priority) if self.round else asked.priority,
        )
        if self.begun is None:
            return self.prompt, sampling
        return extended(self.prompt, self.begun.token_ids), sampling

    def plus(self, piece: Completion, decode: Decode) -> Completion:
        """What there is with the answer to this window's request; finish is that of `piece`."""
        name, limit = self.sampling.id, self.sampling.limit
        if self.begun is None or not self.num_tokens:
            return replace(piece, id=name, limit=limit)
        if not len(piece.token_ids):
            return replace(self.begun, finish=piece.finish)
        return joined(self.begun, replace(piece, id=name), limit=limit, decode=decode)


class WindowPool:
    """Completions by the id of their sampling: running ones, and parked ones in their order.

    A window has `window` tokens; the last one of a completion has what is left of its limit.
    """

    def __init__(self, window: int, decode: Decode) -> None:
        if window < 1:
            raise ValueError(f"window={window}: a window has at least one token; set 1 or more")
        self._window = window
        self._decode = decode
        self._running: dict[str, Partial] = {}
        self._parked: dict[str, Partial] = {}
        self._restored: dict[str, Partial] = {}
        self._ranks: dict[str, int] = {}
        self._cut: set[str] = set()

    @property
    def settled(self) -> bool:
        """Whether every window has ended, so that nothing more comes before `release`."""
        return not self._running

    @property
    def parked(self) -> tuple[Partial, ...]:
        """What waits for `release`, the one that was parked first in front."""
        return tuple(self._parked.values())

    def free_slots(self, capacity: int) -> int:
        """Fresh completions that keep `capacity` under way: as many as have ended, never more.

        The T-PPO recipe draws a full batch each step instead, and its queue grows without bound.
        """
        return max(0, capacity - sum(len(held) for held in self._everywhere()))

    def open(self, prompt: Prompt, sampling: Sampling) -> bool:
        """A completion comes in; whether it runs. One that was saved is parked where it stood.

        Raises ValueError when the id is in use, or was saved with another request.
        """
        if sampling.id in self._running or sampling.id in self._parked:
            raise ValueError(f"the request id {sampling.id} is in use: submit each request once")
        partial = self._restored.get(sampling.id)
        if partial is None:
            self._running[sampling.id] = Partial(prompt=prompt, sampling=sampling)
            return True
        if (partial.prompt.id, partial.sampling) != (prompt.id, sampling):
            raise ValueError(
                f"request {sampling.id} is saved for prompt {partial.prompt.id} as "
                f"{partial.sampling} and comes for {prompt.id} as {sampling}; resume with the "
                "settings of the run"
            )
        self._parked[sampling.id] = self._restored.pop(sampling.id)
        return False

    def running(self, completion_id: str) -> Partial | None:
        """The running completion of that id; None when none runs."""
        return self._running.get(completion_id)

    def request(self, completion_id: str) -> tuple[Prompt, Sampling]:
        """What a running completion asks the engine for."""
        return self._running[completion_id].request(self._window)

    def ended(self, completion_id: str, piece: Completion) -> Completion | None:
        """The engine's answer to a running completion's request: it is parked, or returned whole.

        A window that ends by its limit goes on while there is budget left, one that is aborted
        goes on when a cut did it. Any other end is the completion's.
        """
        partial = self._running.pop(completion_id)
        whole = partial.plus(piece, self._decode)
        full = piece.finish is Finish.LIMIT and len(whole.token_ids) < whole.limit
        cut = piece.finish is Finish.ABORTED and completion_id in self._cut
        self._cut.discard(completion_id)
        if not (full or cut):
            return whole
        begun = replace(whole, finish=Finish.WINDOW)
        self._parked[completion_id] = replace(partial, begun=begun, round=partial.round + 1)
        return None

    def cut(self) -> list[str]:
        """The requests to abort, so that all running completions are parked with what they have."""
        self._cut = set(self._running)
        return [partial.request_id for partial in self._running.values()]

    def release(self) -> list[str]:
        """All parked completions run again; their ids, the one that was parked first in front."""
        order = sorted(self._parked, key=lambda name: self._ranks.get(name, len(self._ranks)))
        self._running |= {name: self._parked[name] for name in order}
        self._parked, self._ranks = {}, {}
        return order

    def give_up(self, completion_id: str) -> Completion:
        """Ends a parked completion with the tokens that it has."""
        begun = self._parked.pop(completion_id).begun
        assert begun is not None, "a parked completion has had a window"
        return replace(begun, finish=Finish.ABORTED)

    def drop(self, completion_id: str) -> None:
        """Forgets a completion that nobody waits for any more, if it is still under way."""
        self._cut.discard(completion_id)
        for held in self._everywhere():
            held.pop(completion_id, None)

    def state(self) -> dict[str, Any]:
        """Everything that has begun, for a checkpoint; JSON can hold it.

        A running window is saved as of its beginning, and sampled again with the same seed.
        """
        begun = (one for held in self._everywhere() for one in held.values() if one.begun)
        return {"partials": [b64encode(to_bytes(partial)).decode() for partial in begun]}

    def load(self, state: dict[str, Any]) -> None:
        """Restores `state()`: a completion is parked again when `open` comes with its request.

        They are released in the order in which they were parked, whichever comes first.
        """
        restored = (from_bytes(b64decode(text), Partial) for text in state["partials"])
        self._restored = {partial.sampling.id: partial for partial in restored}
        self._ranks = {name: rank for rank, name in enumerate(self._restored)}

    def _everywhere(self) -> Iterable[dict[str, Partial]]:
        return self._restored, self._parked, self._running


def window_seed(seed: int | None, window: int) -> int | None:
    """The seed of window number `window`, from 0, of a completion with `seed`.

    The first window draws as an uncut completion would; the others must not draw the same numbers
    again, so theirs follows from both.
    """
    if seed is None or window == 0:
        return seed
    return derived_seed(seed, window)
