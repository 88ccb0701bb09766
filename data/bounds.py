"""The one message for the many options that have a least value."""


def too_small(section: str, options: object, **least: float) -> list[str]:
    """A problem for each of `options` that is not its least or more; `section` is "" at the top."""
    values = {name: getattr(options, name) for name in least}
    prefix = f"{section}." if section else ""
    return [
        f"{prefix}{name}={value}: set it to {least[name]} or more"
        for name, value in values.items()
        if not value >= least[name]
    ]
