"""The constant limit: every prompt, every step, the same number of tokens."""

from rl.config import ConstantLimitConfig
from rl.limits.limit import Limit
from rl.limits.schedule import ScheduledLimit


def build_limit(config: ConstantLimitConfig) -> Limit:
    tokens = config.cap_tokens or config.max_response_tokens
    return ScheduledLimit(lambda step: tokens)
