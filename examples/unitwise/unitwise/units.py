"""What is worth how much of what."""

# Of each quantity, how many of its first unit one of these is.
QUANTITIES = {
    "length": {"m": 1.0, "km": 1000.0, "mi": 1609.344, "ft": 0.3048, "in": 0.0254},
    "mass": {"kg": 1.0, "g": 0.001, "lb": 0.45359237, "oz": 0.028349523125},
}


class NotComparable(ValueError):
    """Two units that are not of one quantity."""


def convert(value: float, source: str, target: str) -> float:
    """So many of one unit, in another."""
    for worth in QUANTITIES.values():
        if source in worth and target in worth:
            return value * worth[source] / worth[target]
    raise NotComparable(f"{source} can't be had in {target}")
