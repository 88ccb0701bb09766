import pytest

from rollout.config import Placement
from rollout.fingerprint import fingerprint, stale_parameters
from tests.engine_fixtures import LAB, started
from tests.rollout.vllm.reference import log_prob_gap, moved

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("placement", [Placement.shared, Placement.separate])
def test_published_weights_are_those_that_sample(placement):
    """`separate` needs two GPUs: the first is the learner's."""
    options = {"placement": placement, "gpu_memory_utilization": 0.2, "sync_bucket_mib": 1}
    with started(LAB / "short", **options) as running:
        model = moved(running.model())
        published = moved(running.model()).cuda()
        running.publish(list(published.named_parameters()))
        gap, num_tokens = log_prob_gap(model, running.sample(96, 64))
        assert num_tokens >= 2000 and gap <= 1e-3
        wanted = {name: fingerprint(name, value) for name, value in model.named_parameters()}
        assert stale_parameters(running.engine.fingerprints(), wanted, 1e-4) == []


def test_engine_rests_while_the_learner_updates():
    with started(LAB / "short", placement=Placement.shared, gpu_memory_utilization=0.2) as running:
        before = [completion.token_ids.tolist() for _, completion in running.sample(8, 16)]
        with running.engine.rest():
            pass
        running.publish(list(running.model().cuda().named_parameters()))
        after = [completion.token_ids.tolist() for _, completion in running.sample(8, 16)]
        assert after == before
