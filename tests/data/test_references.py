from data.references import Reference


def test_the_means_are_over_all_answers_not_only_the_trained_ones() -> None:
    reference = Reference(
        lengths=(400, 700, 1000, 1600), correct=(True, True, False, True), num_trained=2
    )
    assert (reference.mean_length, reference.mean_accuracy) == (925.0, 0.75)
