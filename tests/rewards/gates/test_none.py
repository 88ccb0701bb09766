from rewards.gates.none import NoGateConfig, build_gate
from tests.rewards.groups import group, verdicts


def test_no_gate_selects_every_group():
    groups = [group("p0", [5, 5]), group("p1", [5, 5])]
    judged = [verdicts([False, False]), verdicts([True, True])]
    assert build_gate(NoGateConfig(), 0)(groups, judged) == [True, True]
