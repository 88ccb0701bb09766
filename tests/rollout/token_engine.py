"""An engine whose policy is a function of all tokens before, so that continuations fit."""

import asyncio
from collections.abc import Callable
from random import Random

import numpy as np

from data.types import Completion, Finish, Prompt, Span, TokenIds
from rollout.engine import Sampling

END = 0
NextToken = Callable[[list[int], Random], int]
"""Prompt and response so far to the next token."""


class TokenEngine:
    """Remembers its requests, and answers each under another id, as after a loss of the engine."""

    name = "tokens"
    weight_version = 0

    def __init__(self, next_token: NextToken) -> None:
        self.requests: list[tuple[Prompt, Sampling]] = []
        self._next_token = next_token

    async def sample(self, prompt: Prompt, sampling: Sampling) -> Completion:
        self.requests.append((prompt, sampling))
        await asyncio.sleep(0)
        before, random = prompt.token_ids.tolist(), Random(sampling.seed)
        tokens: list[int] = []
        while len(tokens) < sampling.limit and END not in tokens:
            tokens.append(self._next_token(before + tokens, random))
        return Completion(
            id=f"{sampling.id}+1",
            text="",
            token_ids=np.array(tokens, np.int32),
            logprobs=np.full(len(tokens), -0.5, np.float32),
            limit=sampling.limit,
            finish=Finish.STOP if END in tokens else Finish.LIMIT,
            spans=(Span(start=0, stop=len(tokens), weight_version=self.weight_version),),
        )

    async def close(self) -> None:
        pass


def writes(text: str) -> NextToken:
    """The policy that writes `text` behind a prompt of one token, and stops."""
    tokens = [*text.encode(), END]
    return lambda before, random: tokens[len(before) - 1]


def letters(token_ids: TokenIds) -> str:
    """The text of tokens that are letters."""
    return bytes(token for token in token_ids.tolist() if token != END).decode()
