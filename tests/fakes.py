"""An engine without a model: a tiny random policy that thinks for a while and boxes a digit.

Its vocabulary is end-of-sequence, a filler word and ten boxed digits; the next token's distribution
depends on the prompt, on the weight version and on whether a digit stands already. Seeded requests
repeat exactly.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from data.types import Completion, Finish, Prompt, Span, TokenIds
from rollout.engine import EngineError, Sampling

END, FILLER = 0, 1
WORDS = ["", " so", *(f" \\boxed{{{digit}}}" for digit in range(10))]
Floats = NDArray[np.float64]


class FakeEngine:
    """Passes the engine contract. `seconds` delays a request, `fails` makes it raise.

    A request that is aborted after a share of its seconds has that share of its tokens.
    """

    def __init__(
        self,
        seconds: Callable[[Sampling], float] = lambda sampling: 0.0,
        fails: Callable[[Sampling], bool] = lambda sampling: False,
    ) -> None:
        self.weight_version = 0
        self.aborted: list[str] = []
        self._seconds = seconds
        self._fails = fails
        self._closed = False
        self.running: dict[str, asyncio.Event] = {}
        self._unseeded = np.random.default_rng(0)

    @property
    def name(self) -> str:
        return "fake"

    async def sample(self, prompt: Prompt, sampling: Sampling) -> Completion:
        if self._closed:
            raise EngineError("the fake engine is closed")
        if sampling.limit < 1:
            raise EngineError(f"request {sampling.id}: limit={sampling.limit}; set 1 or more")
        try:
            share = await self._share_done(sampling)
        except asyncio.CancelledError:
            self.aborted.append(sampling.id)
            raise
        if self._fails(sampling):
            raise EngineError(f"request {sampling.id}: the fake engine was told to fail")
        completion = self._completion(prompt, sampling)
        num_done = int(share * len(completion.token_ids))
        return completion if share == 1 else begun(completion, num_done)

    async def abort(self, request_id: str) -> None:
        if request_id in self.running:
            self.running[request_id].set()

    async def close(self) -> None:
        self._closed = True

    async def _share_done(self, sampling: Sampling) -> float:
        """Waits for a request's seconds, or its abort; the share of them that passed."""
        seconds, clock = self._seconds(sampling), asyncio.get_running_loop()
        if seconds == 0:
            await asyncio.sleep(0)
            return 1.0
        start, self.running[sampling.id] = clock.time(), asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                await self.running[sampling.id].wait()
        except TimeoutError:
            return 1.0
        finally:
            del self.running[sampling.id]
        return min(0.999, (clock.time() - start) / seconds)

    def _completion(self, prompt: Prompt, sampling: Sampling) -> Completion:
        rng = self._unseeded if sampling.seed is None else np.random.default_rng(sampling.seed)
        tokens: list[int] = []
        logprobs: list[float] = []
        while len(tokens) < sampling.limit and END not in tokens[-1:]:
            chances = self._chances(prompt, sampling, boxed=any(t > FILLER for t in tokens))
            tokens.append(int(rng.choice(len(chances), p=chances)))
            logprobs.append(float(np.log(chances[tokens[-1]])))
        return Completion(
            id=sampling.id,
            text=words(np.array(tokens, np.int32)),
            token_ids=np.array(tokens, np.int32),
            logprobs=np.array(logprobs, np.float32),
            limit=sampling.limit,
            finish=Finish.STOP if tokens[-1] == END else Finish.LIMIT,
            spans=(Span(start=0, stop=len(tokens), weight_version=self.weight_version),),
        )

    def _chances(self, prompt: Prompt, sampling: Sampling, *, boxed: bool) -> Floats:
        """Sampling distribution over the vocabulary [12], temperature and nucleus applied."""
        name = f"{prompt.id}/{self.weight_version}/{boxed}".encode()
        seed = int.from_bytes(blake2b(name, digest_size=8).digest(), "little")
        logits = np.random.default_rng(seed).normal(size=len(WORDS))
        logits[END] += 4.0 if boxed else -2.0
        logits[FILLER] += 0.0 if boxed else 3.0
        if sampling.temperature == 0:
            return np.asarray(np.eye(len(WORDS))[logits.argmax()])
        chances: Floats = np.exp((logits - logits.max()) / sampling.temperature)
        return nucleus(chances / chances.sum(), sampling.top_p)


def begun(whole: Completion, num_tokens: int) -> Completion:
    """What there is of a completion that is aborted after `num_tokens` of its tokens."""
    return replace(
        whole,
        text=words(whole.token_ids[:num_tokens]),
        token_ids=whole.token_ids[:num_tokens],
        logprobs=whole.logprobs[:num_tokens],
        finish=Finish.ABORTED,
        spans=(replace(whole.spans[0], stop=num_tokens),),
    )


def words(token_ids: TokenIds) -> str:
    """The text of the fake's tokens."""
    return "".join(WORDS[token] for token in token_ids)


def nucleus(chances: Floats, top_p: float) -> Floats:
    """The fewest most likely entries whose sum reaches `top_p`, renormalised [V]."""
    order = np.argsort(-chances)
    before = np.cumsum(chances[order]) - chances[order]
    kept = np.zeros_like(chances)
    kept[order] = np.where(before < top_p, chances[order], 0.0)
    return np.asarray(kept / kept.sum())
