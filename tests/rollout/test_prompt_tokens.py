from rollout.prompt_tokens import PromptTokens


def test_the_share_is_of_all_that_was_asked():
    """10 of 40 tokens, then 30 of 40."""
    counted = PromptTokens(asked=40, cached=10)
    counted.add(PromptTokens(asked=40, cached=30))
    assert counted.cached_share == 0.5


def test_nothing_asked_is_nothing_cached():
    assert PromptTokens().cached_share == 0.0
