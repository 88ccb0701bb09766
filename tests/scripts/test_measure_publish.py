import pytest

from scripts.measure_publish import BUCKET_BYTES, Row, fitted, measured

MB = 10**6


def row(model: int, *added: int) -> Row:
    return Row(
        num_ranks=len(added),
        model_bytes=model * MB,
        rest=[3 * MB] * len(added),
        added=[value * MB for value in added],
    )


def test_row_says_what_each_rank_holds_and_what_publishing_adds() -> None:
    assert row(40, 70, 66).text == (
        "2 ranks, model 40 MB, shard 20 MB: at rest 3 3 MB, publishing adds 70 66 MB"
    )


def test_line_goes_through_the_worst_ranks() -> None:
    """64 at 100, 69 at 200: 59 + 0.05 x; 40 are no whole bucket of 67."""
    rows = [row(40, 40, 40), row(100, 64, 10), row(200, 20, 69)]
    assert fitted(rows) == "fitted: publishing adds 59 MB + 0.050 x model"


@pytest.mark.long
def test_publishing_adds_two_buckets_whatever_the_model() -> None:
    """Models of 154 and 305 MB; 16 MB are for what is loaded when first used."""
    for num_layers in (4, 8):
        found = measured(num_ranks=2, num_layers=num_layers)
        assert found.model_bytes > 2 * BUCKET_BYTES
        assert max(found.added) < 2 * BUCKET_BYTES + 16 * MB
