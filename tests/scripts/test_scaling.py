"""Roofline numbers that a reader can work out, and the page that shows them."""

from pathlib import Path

import pytest

from rl.cli.shapes import Shapes
from scripts.scaling import (
    Gpu,
    decode_seconds,
    flops_per_token,
    learner_tokens_per_second,
    main,
    max_running,
)

SHAPES = Shapes(
    num_parameters=1_000_000_000, num_layers=10, hidden_size=1000, intermediate_size=4000,
    num_kv_heads=1, head_dim=50, vocab_size=1000, bytes_per_value=2,
)  # fmt: skip
GPU = Gpu(
    flops=100e12, memory_bytes=100e9, memory_bandwidth=1e12, learner_efficiency=0.4,
    decode_efficiency=0.5,
)  # fmt: skip


def test_a_token_costs_two_flops_a_parameter_and_its_attention() -> None:
    assert flops_per_token(SHAPES, 0) == 2e9
    assert flops_per_token(SHAPES, 25_000) == 2e9 + 4 * 10 * 1000 * 25_000


def test_training_costs_four_forward_passes() -> None:
    """40e12 FLOP/s over 4 x (2e9 + 1e9), for responses of 50,000 tokens."""
    assert learner_tokens_per_second(SHAPES, GPU, 50_000) == pytest.approx(40e12 / 12e9)


def test_a_decode_step_reads_the_weights_once_and_every_cache() -> None:
    """2 GB at 0.5 TB/s; 2 kB a token x 1,000 tokens at that rate, and 2.04e9 of 50e12 FLOP/s."""
    base, per_sequence = decode_seconds(SHAPES, GPU, 1, 1000)
    assert base == pytest.approx(4e-3)
    assert per_sequence == pytest.approx(2e6 / 0.5e12 + 2.04e9 / 50e12)


def test_a_replica_of_two_gpus_decodes_twice_as_fast() -> None:
    one, two = (sum(decode_seconds(SHAPES, GPU, n, 1000)) for n in (1, 2))
    assert one == pytest.approx(2 * two)


def test_sequences_fill_what_the_weights_leave() -> None:
    """0.9 x 100 GB less 2 GB, over 2 kB x 1,000 tokens."""
    assert max_running(SHAPES, GPU, 1, 1000) == 44_000


def test_the_page_shows_what_the_script_prints(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    page = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [line for line in page.splitlines() if line.startswith("|")] == printed
