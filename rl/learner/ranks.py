"""Rank 0 leads, the other ranks follow: one loop, several learner processes.

Rank 0 calls a `LearnerGroup`, which has the learner's methods for whole batches: it plans
micro-batches, announces the command, scatters the rows and does its own part. The others `serve`:
they await a command, take their rows and do theirs. A follower that fails logs its message and
ends with the exception; its launcher (torchrun) then ends the others.
"""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import perf_counter

import numpy as np
import torch.distributed as dist
from torch import Tensor

from data.types import LogProbs
from rl.config import RunConfig
from rl.errors import RankError
from rl.learner.batch import AnyRow, Row, TokenRow, ValueRow
from rl.learner.channel import Channel, Command, Work
from rl.learner.critic import Values, num_states
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.microbatches import (
    MicroBatches,
    forest_metrics,
    padding_metrics,
    plan_forests,
    plan_microbatches,
)
from rl.learner.process_group import Ranks
from rollout.transfer import Transfer

COMMAND_TIMEOUT = timedelta(days=7)
"""Longest wait for the next command: a rollout phase or an evaluation lies in between."""

PerRow = Callable[[Sequence[Sequence[Row]]], list[list[LogProbs]]]
"""From the micro-batches of one rank to a number for every response token of each row."""

PEER_IS_GONE = re.compile(r"gloo|nccl|peer|socket", re.IGNORECASE)
"""What torch's collectives say, in one of many ways, when another process has ended."""

logger = logging.getLogger(__name__)


class LearnerGroup:
    """The learner as the loop on rank 0 sees it: whole batches in, whole results out."""

    def __init__(self, learner: DeepSpeedLearner, config: RunConfig, ranks: Ranks) -> None:
        self._learner = learner
        self._group_size = config.learner.sequence_parallel
        self._max_tokens = config.learner.max_tokens_per_microbatch * self._group_size
        self._share_prefixes = config.learner.share_prefixes
        self._num_ranks = ranks.world_size
        self._channel = open_channel(ranks)
        self._busy = False

    def update(self, minibatches: Sequence[Sequence[Row]]) -> dict[str, float]:
        """One optimizer step per minibatch of weighted rows; metrics over all ranks."""
        plans = [self._plan_policy(rows) for rows in minibatches]
        with self._command("update"):
            metrics = self._learner.update(
                self._channel.scatter(self._works(list(zip(minibatches, plans, strict=True))), Row)
            )
        measure = forest_metrics if self._share_prefixes else padding_metrics
        return metrics | measure(minibatches, plans)

    def logprobs(self, rows: Sequence[Row]) -> list[LogProbs]:
        """Log-probs [T] of every row's response, in the order of `rows`."""
        compute = self._learner.logprobs
        return self._per_row("logprobs", rows, compute, lengths(rows), self._plan_policy(rows))

    def reference_logprobs(self, rows: Sequence[Row]) -> list[LogProbs]:
        """The initial policy's log-probs [T] of every row's response, in the order of `rows`."""
        compute, plan = self._learner.reference_logprobs, self._plan_policy(rows)
        return self._per_row("reference_logprobs", rows, compute, lengths(rows), plan)

    def gradient_norms(self, rows: Sequence[Row]) -> list[float]:
        """How far each row would move the output matrix, in the order of `rows` (GVM)."""
        ones, plan = [1] * len(rows), self._plan_policy(rows)
        found = self._per_row("gradient_norms", rows, self._learner.gradient_norms, ones, plan)
        return [float(norm[0]) for norm in found]

    def values(self, rows: Sequence[Row]) -> list[Values]:
        """State values [T + 1] of every row (`DeepSpeedLearner.values`), in the order of `rows`."""
        sizes = [num_states(row) for row in rows]
        return self._per_row("values", rows, self._learner.values, sizes, self._plan(rows))

    def update_critic(self, minibatches: Sequence[Sequence[ValueRow]]) -> dict[str, float]:
        """One optimizer step of the critic per minibatch of weighted rows."""
        plans = [self._plan(rows) for rows in minibatches]
        with self._command("update_critic"):
            works = self._works(list(zip(minibatches, plans, strict=True)))
            return self._learner.update_critic(self._channel.scatter(works, ValueRow))

    def update_drafter(self, minibatches: Sequence[Sequence[Row]]) -> dict[str, float]:
        """One optimizer step of the draft model per minibatch of weighted rows."""
        plans = [self._plan(rows) for rows in minibatches]
        with self._command("update_drafter"):
            works = self._works(list(zip(minibatches, plans, strict=True)))
            return self._learner.update_drafter(self._channel.scatter(works, Row))

    def publish(self, transfer: Transfer, version: int) -> dict[str, float]:
        """Brings the engines' weights up to date; they go on as `version`. Returns metrics."""
        began = perf_counter()
        with self._command("publish", version=version):
            metrics = self._learner.publish(transfer, version)
        logger.info(
            "weights of version %d: %d tensors, %d bytes, %.3f s",
            version,
            metrics["sync/tensors"],
            metrics["sync/bytes"],
            perf_counter() - began,
        )
        return metrics

    def fingerprints(self, fingerprint: Callable[[str, Tensor], Tensor]) -> dict[str, Tensor]:
        """`fingerprint(name, tensor)` of every published tensor."""
        with self._command("fingerprints"):
            return self._learner.fingerprints(fingerprint)

    def save(self, folder: Path) -> None:
        """Every rank writes its part of weights and optimizer into `folder`."""
        with self._command("save", folder=str(folder)):
            self._learner.save(folder)

    def load(self, folder: Path) -> None:
        """Restores what `save` wrote; raises ValueError when nothing fitting is there."""
        with self._command("load", folder=str(folder)):
            self._learner.load(folder)

    def load_generators(self, folder: Path) -> None:
        """Every rank's random number generators go on from where `save` found them."""
        with self._command("load_generators", folder=str(folder)):
            self._learner.load_generators(folder)

    def export(self, folder: Path) -> None:
        """Writes the policy in Hugging Face format."""
        with self._command("export", folder=str(folder)):
            self._learner.export(folder)

    def close(self) -> None:
        """Lets the other ranks return from `serve`.

        After a command that failed half way nothing is sent: they wait inside it, and end when
        this process does.
        """
        if not self._busy:
            with peers_expected("stop"):
                self._channel.announce({"name": "stop"})
                self._channel.meet()

    @contextmanager
    def _command(self, name: str, **arguments: str | int) -> Iterator[None]:
        self._busy = True
        with peers_expected(name):
            self._channel.announce({"name": name, **arguments})
            yield
        self._busy = False

    def _per_row(
        self,
        name: str,
        rows: Sequence[Row],
        compute: PerRow,
        sizes: Sequence[int],
        plan: list[MicroBatches],
    ) -> list[LogProbs]:
        """What `compute`, the learner's method of that name, finds for each row, of these sizes."""
        with self._command(name):
            (mine,) = self._channel.scatter(self._works([(rows, plan)]), Row)
            gathered = self._channel.gather(joined(compute(mine)))
        return in_order(sizes, plan, gathered)

    def _plan(self, rows: Sequence[TokenRow]) -> list[MicroBatches]:
        """Row numbers for every rank; those that cut sequences together have the same."""
        lengths = [row.num_tokens for row in rows]
        plans = plan_microbatches(lengths, self._num_ranks // self._group_size, self._max_tokens)
        return [plan for plan in plans for _ in range(self._group_size)]

    def _plan_policy(self, rows: Sequence[Row]) -> list[MicroBatches]:
        """As `_plan`, for what the policy reads."""
        if not self._share_prefixes:
            return self._plan(rows)
        token_ids, groups = [row.token_ids for row in rows], [row.group for row in rows]
        return plan_forests(token_ids, groups, self._num_ranks, self._max_tokens)

    def _works(
        self, planned: Sequence[tuple[Sequence[AnyRow], list[MicroBatches]]]
    ) -> list[Work[AnyRow]]:
        return [
            [[[rows[i] for i in micro] for micro in plan[rank]] for rows, plan in planned]
            for rank in range(self._num_ranks)
        ]


def serve(learner: DeepSpeedLearner) -> None:
    """What ranks other than 0 do: carry out rank 0's commands until it stops them."""
    channel = open_channel(learner.ranks)
    while True:
        with peers_expected("the wait for a command"):
            command = channel.await_command()
        if command["name"] == "stop":
            channel.meet()
            return
        try:
            follow(learner, channel, command)
        except BaseException as error:
            logger.error("rank %d failed in %s: %s", learner.ranks.rank, command["name"], error)
            raise


def follow(learner: DeepSpeedLearner, channel: Channel, command: Command) -> None:
    """This rank's part of `command`."""
    match command:
        case {"name": "update"}:
            learner.update(channel.scatter(None, Row))
        case {"name": "logprobs"}:
            channel.gather(joined(learner.logprobs(channel.scatter(None, Row)[0])))
        case {"name": "reference_logprobs"}:
            channel.gather(joined(learner.reference_logprobs(channel.scatter(None, Row)[0])))
        case {"name": "gradient_norms"}:
            channel.gather(joined(learner.gradient_norms(channel.scatter(None, Row)[0])))
        case {"name": "values"}:
            channel.gather(joined(learner.values(channel.scatter(None, Row)[0])))
        case {"name": "update_critic"}:
            learner.update_critic(channel.scatter(None, ValueRow))
        case {"name": "update_drafter"}:
            learner.update_drafter(channel.scatter(None, Row))
        case {"name": "publish", "version": int(version)}:
            learner.publish(None, version)
        case {"name": "fingerprints"}:
            learner.fingerprints(lambda name, tensor: tensor)
        case {"name": "save", "folder": str(folder)}:
            learner.save(Path(folder))
        case {"name": "load", "folder": str(folder)}:
            learner.load(Path(folder))
        case {"name": "load_generators", "folder": str(folder)}:
            learner.load_generators(Path(folder))
        case {"name": "export", "folder": str(folder)}:
            learner.export(Path(folder))
        case _:
            raise AssertionError(f"unknown command {command}")


@contextmanager
def peers_expected(command: str) -> Iterator[None]:
    """Names the end of another process, which a collective reports as a broken connection."""
    try:
        yield
    except RuntimeError as error:
        if dist.get_world_size() == 1 or not PEER_IS_GONE.search(str(error)):
            raise
        raise RankError(
            f"another process of the learner ended; it was missed in {command} ({error}). Its own "
            "last lines say why; resume=PATH goes on from the last checkpoint"
        ) from error


def open_channel(ranks: Ranks) -> Channel:
    """The channel of this process; collective, like all of its methods."""
    if ranks.world_size == 1:
        return Channel(ranks, None)
    return Channel(ranks, dist.new_group(backend="gloo", timeout=COMMAND_TIMEOUT))


def joined(microbatches: Sequence[Sequence[LogProbs]]) -> LogProbs:
    """The arrays of all rows of all micro-batches, one after the other."""
    arrays = [array for micro in microbatches for array in micro]
    return np.concatenate([*arrays, np.zeros(0, dtype=np.float32)])


def lengths(rows: Sequence[Row]) -> list[int]:
    """Response tokens of every row."""
    return [row.response_length for row in rows]


def in_order(
    sizes: Sequence[int], plan: Sequence[MicroBatches], gathered: Sequence[LogProbs]
) -> list[LogProbs]:
    """Undoes `plan`: one array per row, of its size, from each rank's joined arrays."""
    found: dict[int, LogProbs] = {}
    for microbatches, values in zip(plan, gathered, strict=True):
        numbers = [number for micro in microbatches for number in micro]
        ends = np.cumsum([sizes[number] for number in numbers])
        found |= dict(zip(numbers, np.split(values, ends[:-1]), strict=True)) if numbers else {}
    return [found[number] for number in range(len(sizes))]
