import pytest
import torch

from rollout.fingerprint import agreed, fingerprint, probe_vector, stale_parameters

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def test_probe_is_fixed_by_its_width_and_has_norm_one():
    torch.testing.assert_close(probe_vector(64), probe_vector(64))
    assert abs(float(probe_vector(64).norm()) - 1) < 1e-6
    assert not torch.equal(probe_vector(64)[:32], probe_vector(32))


def test_matrix_gives_one_number_per_row_and_vector_itself():
    matrix = torch.eye(3)
    torch.testing.assert_close(fingerprint("w", matrix), probe_vector(3))
    vector = torch.tensor([1.0, 2.0], dtype=torch.bfloat16)
    assert fingerprint("b", vector).tolist() == [1.0, 2.0]


def test_any_changed_entry_changes_the_fingerprint_of_its_row_only():
    matrix = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    before = fingerprint("w", matrix)
    for column in range(7):
        changed = matrix.clone()
        changed[2, column] += 1e-2
        differs = fingerprint("w", changed) != before
        assert differs.tolist() == [False, False, True, False, False]


def test_more_dimensions_are_refused():
    with pytest.raises(ValueError, match=r"conv has shape \(2, 2, 2\)"):
        fingerprint("conv", torch.zeros(2, 2, 2))


def test_differences_are_named_and_rounding_is_not():
    trainer = {"a": torch.tensor([100.0, 1.0]), "b": torch.tensor([1.0])}
    engine = {"a": torch.tensor([100.0, 1.001]), "b": torch.tensor([1.001])}
    assert stale_parameters(engine, trainer, 1e-4) == ["b"]
    assert stale_parameters(engine, trainer, 1e-2) == []


def test_tied_head_is_held_against_the_embedding():
    trainer = {EMBEDDING: torch.tensor([1.0, 2.0])}
    fresh = {EMBEDDING: torch.tensor([1.0, 2.0]), HEAD: torch.tensor([1.0, 2.0])}
    assert stale_parameters(fresh, trainer, 1e-4) == []
    stale = {EMBEDDING: torch.tensor([1.0, 2.0]), HEAD: torch.tensor([1.0, 1.0])}
    assert stale_parameters(stale, trainer, 1e-4) == [HEAD]


def test_nan_other_shapes_and_unknown_parameters_are_named():
    trainer = {name: torch.tensor([1.0, 2.0]) for name in ("nan", "shape", "unknown")}
    engine = {"nan": torch.tensor([1.0, torch.nan]), "shape": torch.tensor([1.0])}
    assert stale_parameters(engine, trainer, 1e-4) == ["nan", "shape", "unknown"]


def test_engines_that_agree_are_the_first_and_where_they_differ_nobody_is():
    first = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([1.0, 2.0])}
    rounded = {"a": torch.tensor([1.0, 2.0001]), "b": torch.tensor([1.0, 2.0])}
    stale = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([1.0, 2.1])}
    assert agreed([first]) == first
    assert stale_parameters(agreed([first, rounded]), first, 1e-4) == []
    assert stale_parameters(agreed([first, rounded, stale]), first, 1e-4) == ["b"]
    assert stale_parameters(agreed([stale, first]), first, 1e-4) == ["b"]
