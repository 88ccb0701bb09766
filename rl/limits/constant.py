"""The constant limit: every prompt, every step, the same number of tokens."""

from rl.config import ConstantLimitConfig
from rl.limits.limit import Limit
from rl.limits.schedule import ScheduledLimit


def build_limit(config: ConstantLimitConfig) -> Limit:
    return ScheduledLimit(lambda step: config.max_response_tokens)
