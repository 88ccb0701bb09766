import numpy as np

from rl.bench.memory import forget_peak, peak_bytes, resident_bytes


def test_peak_is_that_of_what_was_in_use_since_it_was_forgotten() -> None:
    forget_peak()
    before = resident_bytes()
    held = np.ones(50_000_000, np.uint8)
    assert 45e6 < peak_bytes() - before < 80e6
    del held
    assert peak_bytes() - before > 45e6
    forget_peak()
    assert peak_bytes() - before < 20e6
