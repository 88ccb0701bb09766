import pytest

from rollout.fingerprint import fingerprint, stale_parameters
from rollout.transfer import layer_of
from rollout.vllm.transfer import EngineCycle, SharedMemoryTransfer
from tests.engine_fixtures import LAB, started, tied_copy
from tests.rollout.vllm.reference import log_prob_gap, moved

pytestmark = pytest.mark.engine

GAP = 1e-3
STALE = 1e-4
LAYER = "model.layers.1."
KINDS = {
    "embedding": "model.embed_tokens.weight",
    "head": "lm_head.weight",
    "input norm": f"{LAYER}input_layernorm.weight",
    "norm after attention": f"{LAYER}post_attention_layernorm.weight",
    "final norm": "model.norm.weight",
    "q": f"{LAYER}self_attn.q_proj.weight",
    "k": f"{LAYER}self_attn.k_proj.weight",
    "v": f"{LAYER}self_attn.v_proj.weight",
    "q bias": f"{LAYER}self_attn.q_proj.bias",
    "v bias": f"{LAYER}self_attn.v_proj.bias",
    "o": f"{LAYER}self_attn.o_proj.weight",
    "gate": f"{LAYER}mlp.gate_proj.weight",
    "up": f"{LAYER}mlp.up_proj.weight",
    "down": f"{LAYER}mlp.down_proj.weight",
}


@pytest.fixture(scope="module")
def tied_engine(tmp_path_factory):
    folder = tied_copy(LAB / "short", tmp_path_factory.mktemp("tied") / "model")
    with started(folder) as running:
        yield running


@pytest.fixture(params=["lab_engine", "tied_engine"], ids=["untied", "tied"])
def running(request):
    """Both models, each put back to its own weights afterwards."""
    running = request.getfixturevalue(request.param)
    yield running
    running.publish(list(running.model().named_parameters()))


def named_stale(running, model):
    wanted = {name: fingerprint(name, value) for name, value in model.named_parameters()}
    return stale_parameters(running.engine.fingerprints(), wanted, STALE)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.95)])
def test_published_weights_are_those_that_sample(running, temperature, top_p):
    before = log_prob_gap(moved(running.model()), running.sample(8, 16))[0]
    model = moved(running.model())
    running.publish(list(model.named_parameters()))
    answered = running.sample(96, 64, temperature=temperature, top_p=top_p)
    gap, num_tokens = log_prob_gap(model, answered, temperature, top_p)
    assert num_tokens >= 2000 and gap <= GAP < before
    assert named_stale(running, model) == []


# A tied model has no head of its own.
STALE_CASES = [("lab_engine", kind) for kind in KINDS]
STALE_CASES += [("tied_engine", kind) for kind in KINDS if kind != "head"]


@pytest.mark.parametrize(("running", "kind"), STALE_CASES, indirect=["running"])
def test_stale_parameter_is_caught_by_the_gap_and_named(running, kind, record_property):
    """All parameters move, one is published as it was before."""
    old = dict(running.model().named_parameters())
    model = moved(running.model())
    stale = KINDS[kind]
    running.publish([(n, old[n] if n == stale else p) for n, p in model.named_parameters()])
    gap, _ = log_prob_gap(model, running.sample(32, 32))
    record_property("gap", gap)
    assert gap > GAP
    expected = {stale}
    if model.config.tie_word_embeddings and kind == "embedding":
        expected.add("lm_head.weight")
    assert set(named_stale(running, model)) == expected


def test_parameter_that_was_never_sent_is_named(running):
    model = moved(running.model())
    missing = KINDS["o"]
    running.publish([(n, p) for n, p in model.named_parameters() if n != missing])
    assert log_prob_gap(model, running.sample(32, 32))[0] > GAP
    assert named_stale(running, model) == [missing]


@pytest.mark.parametrize("layer", [f"{LAYER}self_attn", f"{LAYER}mlp", "model.embed_tokens"])
def test_a_layer_sent_alone_is_new_and_the_others_are_as_they_were(running, layer):
    """Fused layers (q, k and v; gate and up) come whole, all others not at all."""
    model, new = running.model(), moved(running.model())
    running.publish(list(model.named_parameters()))
    for name, parameter in new.named_parameters():
        if layer_of(name) == layer:
            model.get_parameter(name).data.copy_(parameter)
    assert running.transfer.start()
    running.transfer.send([(n, p) for n, p in model.named_parameters() if layer_of(n) == layer])
    running.transfer.finish(running.engine.weight_version + 1)
    assert named_stale(running, model) == []
    assert log_prob_gap(model, running.sample(16, 32))[0] <= GAP


def test_a_version_without_any_tensor_keeps_the_weights(running):
    model = moved(running.model())
    version = running.publish(list(model.named_parameters()))
    assert running.publish([]) == version + 1
    assert running.engine.weight_version == version + 1
    assert named_stale(running, model) == []


def test_tied_head_needs_its_mend(tied_engine):
    """Without repacking, vLLM goes on sampling with the head of the old embedding."""
    model = moved(tied_engine.model())
    unmended = SharedMemoryTransfer(
        EngineCycle(tied_engine.engine), bucket_mib=64, repack_tied_head=False
    )
    try:
        unmended.start()
        unmended.send(list(model.named_parameters()))
        unmended.finish(tied_engine.engine.weight_version + 1)
        assert log_prob_gap(model, tied_engine.sample(32, 32))[0] > GAP
        assert named_stale(tied_engine, model) == ["lm_head.weight"]
    finally:
        unmended.close()
        mended = SharedMemoryTransfer(EngineCycle(tied_engine.engine), bucket_mib=64)
        mended.start()
        mended.send(list(model.named_parameters()))
        mended.finish(tied_engine.engine.weight_version + 1)
        mended.close()
    assert named_stale(tied_engine, model) == []


def test_buckets_that_cut_layers_and_reuse_memory_arrive_whole(running):
    """Fused layers wait for parts that come in later buckets, in memory written again since."""
    model = moved(running.model(), seed=1)
    transfer = SharedMemoryTransfer(EngineCycle(running.engine), bucket_mib=1)
    transfer.start()
    for name, parameter in model.named_parameters():
        transfer.send([(name, parameter)])
    transfer.finish(running.engine.weight_version + 1)
    assert transfer.block_bytes < sum(p.nbytes for p in model.parameters())
    transfer.close()
    assert named_stale(running, model) == []
    assert log_prob_gap(model, running.sample(16, 32))[0] <= GAP
