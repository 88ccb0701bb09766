"""The running rows of the transformers engine: admit, step, hand out what has ended.

Everything about a row lies in tables [slots, columns], and all rows are at the same column: the
clock. A row occupies columns [start, clock]: prompt, then sampled tokens, the last of them not yet
read by the model. Slots 0 to n - 1 are in use; the last row moves into the slot of one that ended.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from data.types import Finish
from rollout.engine import Sampling
from rollout.transformers_cache import TableCache, causal_mask, relocated
from rollout.transformers_draw import draw
from rollout.transformers_rows import Ended, Job, Rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PREFILL_TOKENS = 16384
"""Prompt tokens, padding included, of one forward pass."""

TOKEN_BYTES = 4
"""Bytes of a token id in `Prompt.token_ids`."""

SPARE_COLUMNS = 256
"""The least number of columns by which tables grow."""


class Batch:
    """Samples from `model` for at most `max_num_seqs` jobs at once; one thread at a time calls it.

    A row ends with one of `end_ids`, or at its limit. Rows without a seed draw from `seed`.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        *,
        end_ids: Sequence[int],
        max_num_seqs: int,
        max_model_tokens: int,
        seed: int,
        weight_version: int,
    ) -> None:
        self.jobs: list[Job] = []
        self.weight_version = weight_version
        self._model = model
        self._device = model.device
        self._max_num_seqs = max_num_seqs
        self._end_ids = torch.tensor(list(end_ids), device=model.device)
        self._generator = torch.Generator()
        self._unseeded = torch.Generator().manual_seed(seed)
        self._rows = Rows(max_num_seqs, max_model_tokens, model.device)
        self._cache = TableCache(max_num_seqs)
        self._first, self._clock, self._columns = 0, 0, 0
        self._tables = [
            torch.zeros(max_num_seqs, 0, dtype=dtype, device=model.device)
            for dtype in (torch.int64, torch.float32, model.dtype)
        ]

    @property
    def room(self) -> int:
        """Jobs that may be admitted."""
        return self._max_num_seqs - len(self.jobs)

    @torch.inference_mode()
    def advance(self, arrivals: Sequence[Job]) -> list[Ended]:
        """One token for every job; `arrivals` join with their first. Returns those that ended."""
        if self.jobs:
            self._step()
        if arrivals:
            self._admit(arrivals)
        return self._take_ended() if self.jobs else []

    @torch.inference_mode()
    def refresh(self, weight_version: int) -> None:
        """Computes all keys and values again: the next tokens follow from the new weights alone."""
        self.weight_version = weight_version
        if not self.jobs:
            return
        births = self._rows.births[: len(self.jobs)].tolist()
        for job, birth in zip(self.jobs, births, strict=True):
            job.goes_on(self._clock - birth + 1, weight_version)
        at_once = max(1, PREFILL_TOKENS // max(1, self._clock - self._first))
        for slots in torch.arange(len(self.jobs)).split(at_once):
            _, prompts = self._read(slots.tolist())
            self._cache.fill(prompts, range(len(slots)), slots.tolist(), self._clock)

    def _step(self) -> None:
        count = len(self.jobs)
        self._make_room(0)
        tokens, _, mask = self._tables
        positions = self._clock - self._rows.starts[:count, None]
        logits = self._model(
            input_ids=tokens[:count, self._clock, None],
            position_ids=positions,
            attention_mask=mask[:count, None, None, self._first : self._clock + 1],
            past_key_values=self._cache.at(count, self._first, self._clock),
            use_cache=True,
        ).logits
        self._clock += 1
        self._sample(slice(0, count), logits[:, -1])

    def _admit(self, arrivals: Sequence[Job]) -> None:
        self._make_room(max(len(job.prompt.token_ids) for job in arrivals))
        first = len(self.jobs)
        self.jobs += arrivals
        for slot, job in enumerate(arrivals, start=first):
            self._place(slot, job)
        self._first = int(self._rows.starts[: len(self.jobs)].min())
        self._sample(slice(first, len(self.jobs)), self._prefill(arrivals, first))

    def _place(self, slot: int, job: Job) -> None:
        """Writes a job's row into its slot: prompt, mask, settings, random numbers."""
        tokens, _, mask = self._tables
        rows, sampling = self._rows, job.sampling
        start = self._clock - len(job.prompt.token_ids)
        rows.starts[slot], rows.births[slot] = start, self._clock
        rows.lasts[slot] = self._clock + sampling.limit - 1
        rows.temperatures[slot], rows.top_ps[slot] = sampling.temperature, sampling.top_p
        rows.uniforms[slot, : sampling.limit] = self._uniforms(sampling)
        tokens[slot, start : self._clock] = torch.tensor(job.prompt.token_ids)
        mask[slot, :start] = torch.finfo(mask.dtype).min
        mask[slot, start:] = 0
        job.origins = [(0, self.weight_version)]

    def _uniforms(self, sampling: Sampling) -> Tensor:
        generator = self._unseeded
        if sampling.seed is not None:
            generator = self._generator.manual_seed(sampling.seed)
        return torch.rand(sampling.limit, generator=generator, dtype=torch.float64)

    def _prefill(self, arrivals: Sequence[Job], first: int) -> Tensor:
        """Reads every distinct prompt once; the logits of each row's next token [jobs, V]."""
        asking: dict[bytes, list[int]] = {}
        for slot, job in enumerate(arrivals, start=first):
            asking.setdefault(job.prompt.token_ids.tobytes(), []).append(slot)
        filled: list[int] = []
        parts = []
        for bucket in buckets(asking):
            found, prompts = self._read([slots[0] for slots in bucket])
            sources = [source for source, slots in enumerate(bucket) for _ in slots]
            slots = [slot for slots in bucket for slot in slots]
            self._cache.fill(prompts, sources, slots, self._clock)
            parts.append(found[sources])
            filled += slots
        return torch.cat(parts)[torch.tensor(filled).argsort()]

    def _read(self, slots: Sequence[int]) -> tuple[Tensor, DynamicCache]:
        """One pass over all columns left of the clock: next logits [U, V], keys and values."""
        starts = self._rows.starts[slots]
        first = int(starts.min())
        columns = torch.arange(first, self._clock, device=self._device)
        cache = DynamicCache()
        logits = self._model(
            input_ids=self._tables[0][slots, first : self._clock],
            position_ids=(columns - starts[:, None]).clamp_(min=0),
            attention_mask=causal_mask(starts - first, len(columns), self._model.dtype),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits[:, -1], cache

    def _sample(self, slots: slice, logits: Tensor) -> None:
        """Draws the tokens of the clock's column."""
        rows, clock = self._rows, self._clock
        ages = clock - rows.births[slots]
        numbers = rows.uniforms[slots].gather(1, ages[:, None])[:, 0]
        tokens, logprobs, _ = self._tables
        tokens[slots, clock], logprobs[slots, clock] = draw(
            logits, rows.temperatures[slots], rows.top_ps[slots], numbers
        )

    def _take_ended(self) -> list[Ended]:
        count = len(self.jobs)
        stopped = torch.isin(self._tables[0][:count, self._clock], self._end_ids)
        ended = stopped | (self._rows.lasts[:count] <= self._clock)
        slots = set(ended.nonzero()[:, 0].tolist())
        slots |= {slot for slot, job in enumerate(self.jobs) if job.cancelled or job.aborted}
        found = [self._ended(slot, stopped=bool(stopped[slot])) for slot in sorted(slots)]
        if slots:
            self._remove(slots)
        return found

    def _ended(self, slot: int, *, stopped: bool) -> Ended:
        """What a slot holds, copied: its tables are written again."""
        job = self.jobs[slot]
        sampled = slice(int(self._rows.births[slot]), self._clock + 1)
        tokens, logprobs, _ = self._tables
        return Ended(
            job=job,
            token_ids=tokens[slot, sampled].cpu().numpy().astype(np.int32),
            logprobs=logprobs[slot, sampled].cpu().numpy().copy(),
            finish=Finish.STOP if stopped else self._finish(slot),
        )

    def _finish(self, slot: int) -> Finish:
        """Why a slot is given up that has no end-of-sequence token."""
        return Finish.LIMIT if int(self._rows.lasts[slot]) <= self._clock else Finish.ABORTED

    def _remove(self, gone: set[int]) -> None:
        """Fills the slots of `gone` with the last rows that stay."""
        kept = len(self.jobs) - len(gone)
        holes = sorted(slot for slot in gone if slot < kept)
        movers = [slot for slot in range(kept, len(self.jobs)) if slot not in gone]
        if holes:
            self._rows.move(movers, holes)
            self._cache.move(movers, holes, self._first, self._clock)
            for table in self._tables:
                table[holes] = table[movers]
            for hole, mover in zip(holes, movers, strict=True):
                self.jobs[hole] = self.jobs[mover]
        del self.jobs[kept:]
        self._first = int(self._rows.starts[:kept].min()) if kept else self._clock

    def _make_room(self, longest: int) -> None:
        """Sees to `longest` columns left of the clock and two more from it on."""
        if not self.jobs:
            self._first = self._clock = longest
        if longest <= self._clock and self._clock + 1 < self._columns:
            return
        count, width = len(self.jobs), self._clock - self._first
        clock = max(width, longest)
        self._columns = max(self._columns, clock + max(SPARE_COLUMNS, width // 2))
        start = clock - width
        kept = slice(self._first, self._clock + 1)
        self._cache.relocate(count, self._first, self._clock, start, self._columns)
        self._tables = [
            relocated(table, 1, count, kept, start, self._columns) for table in self._tables
        ]
        # A longer prompt may join: what lies left of the old window is none of these rows'.
        mask = self._tables[2]
        mask[:count, :start] = torch.finfo(mask.dtype).min
        self._rows.shift(clock - self._clock)
        self._first, self._clock = start, clock


def buckets(asking: Mapping[bytes, list[int]]) -> Iterator[list[list[int]]]:
    """The slots of each prompt, shortest prompts first, in parts of `PREFILL_TOKENS` at most.

    Prompts of about one length share a pass, so that little is padding.
    """
    part: list[list[int]] = []
    for prompt in sorted(asking, key=len):
        if part and (len(part) + 1) * len(prompt) > PREFILL_TOKENS * TOKEN_BYTES:
            yield part
            part = []
        part.append(asking[prompt])
    yield part
