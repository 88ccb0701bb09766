"""A tiny random Qwen2, saved as a user's model would be, and rollouts recorded from it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from rl.algorithms.aggregation import token_mean
from rl.algorithms.grpo import grpo_advantages
from rl.learner.batch import Row, split_minibatches, with_right_answers, with_right_weights
from rl.learner.channel import Work, pack

torch.set_num_threads(1)

VOCABULARY = 64
STEPS, MINIBATCHES, GROUPS, GROUP_SIZE = 5, 2, 6, 4


def save_tiny_model(folder: Path, *, tied: bool, seed: int = 0) -> Path:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
        tie_word_embeddings=tied,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    words = {f"w{number}": number for number in range(VOCABULARY)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(words, "w0")))
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), tied=False)


@pytest.fixture(scope="session")
def tiny_tied_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny_tied"), tied=True)


@torch.no_grad()
def sample_rows(
    model: Qwen2ForCausalLM, advantages: list[float], random: np.random.Generator
) -> list[Row]:
    """One row per advantage, of random length, sampled from the model at temperature 1."""
    prompts = random.integers(0, VOCABULARY, (len(advantages), random.integers(3, 9)))
    lengths = random.integers(4, 25, len(advantages))
    token_ids, logprobs = prompts, np.zeros((len(advantages), 0))
    for _ in range(max(lengths)):
        log_chances = model(torch.from_numpy(token_ids)).logits[:, -1].double().log_softmax(-1)
        noise = random.gumbel(size=log_chances.shape)
        chosen = (log_chances.numpy() + noise).argmax(axis=1)[:, None]
        token_ids = np.concatenate([token_ids, chosen], axis=1)
        logprobs = np.concatenate(
            [logprobs, np.take_along_axis(log_chances.numpy(), chosen, axis=1)], axis=1
        )
    prompt_length = prompts.shape[1]
    return [
        Row(
            token_ids=ids[: prompt_length + length].astype(np.int32),
            prompt_length=prompt_length,
            mask=np.ones(length, dtype=np.bool_),
            sampler_logprobs=sampled[:length].astype(np.float32),
            advantages=np.full(length, advantage, dtype=np.float32),
            ages=np.zeros(length, dtype=np.int32),
            group=number // GROUP_SIZE,
        )
        for number, (ids, sampled, length, advantage) in enumerate(
            zip(token_ids, logprobs, lengths, advantages, strict=True)
        )
    ]


def sample_steps(folder: Path) -> Work:
    """Per step its minibatches of weighted rows; answers better than their group are right."""
    random = np.random.default_rng(0)
    model = Qwen2ForCausalLM.from_pretrained(folder)
    steps = []
    for _ in range(STEPS):
        rewards = random.normal(size=(GROUPS, GROUP_SIZE)).tolist()
        advantages = [advantage for group in rewards for advantage in grpo_advantages(group)]
        rows = sample_rows(model, advantages, random)
        rows = with_right_answers(rows, [advantage > 0 for advantage in advantages])
        minibatches = split_minibatches(rows, MINIBATCHES, token_mean)
        steps.append([with_right_weights(rows) for rows in minibatches])
    return steps


def write_recording(steps: Work, folder: Path) -> Path:
    """A file of two flat arrays in `folder`."""
    path, packed = folder / "rollouts.npz", pack(steps, Row)
    np.savez(path, integers=packed.integers, floats=packed.floats)
    return path


def shared(rows: list[Row], num_branches: int) -> list[Row]:
    """`rows`, of which those of a group begin alike: the prompt of its first row in each.

    A row's response goes on as that of its branch's first row up to half of the shorter one.
    """
    found = []
    for number, row in enumerate(rows):
        first = rows[number - number % GROUP_SIZE]
        branch = rows[number - number % GROUP_SIZE + number % num_branches]
        half = min(row.response_length, branch.response_length) // 2
        response = row.token_ids[row.prompt_length :].copy()
        response[:half] = branch.token_ids[branch.prompt_length :][:half]
        prompt = first.token_ids[: first.prompt_length]
        found.append(replace(row, token_ids=np.concatenate([prompt, response])))
    return found


def drifted(row: Row, random: np.random.Generator, gap: float) -> Row:
    """`row` as if older weights had sampled it: other log-probs, of tokens of any age."""
    noise = random.normal(scale=gap, size=row.response_length).astype(np.float32)
    ages = random.integers(0, 4, row.response_length).astype(np.int32)
    return replace(row, sampler_logprobs=row.sampler_logprobs + noise, ages=ages)


@pytest.fixture(scope="session")
def drifted_recording(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `recording`, off-policy: by more from row to row, and by far in the second step."""
    random = np.random.default_rng(1)
    gaps = [0.02, 3.0, 0.02, 0.02, 0.02]
    steps = [
        [
            [drifted(row, random, gap * (1 + 9 * (place % 2))) for place, row in enumerate(rows)]
            for rows in minibatches
        ]
        for gap, minibatches in zip(gaps, sample_steps(tiny_model), strict=True)
    ]
    return write_recording(steps, tmp_path_factory.mktemp("drifted"))


@pytest.fixture(scope="session")
def tree_recording(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `recording`, a group being two branches of one prompt."""
    steps = [[shared(rows, 2) for rows in minibatches] for minibatches in sample_steps(tiny_model)]
    return write_recording(steps, tmp_path_factory.mktemp("trees"))


@pytest.fixture(scope="session")
def recording(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five steps of rollouts as the model sampled them."""
    return write_recording(sample_steps(tiny_model), tmp_path_factory.mktemp("recording"))
