"""How long to wait before a part that died is started again. Pure."""

FIRST_S = 0.1
LONGEST_S = 5.0
HEALTHY_AFTER_S = 30.0  # whoever lived this long died of something new


def next_delay(previous_s: float | None, alive_s: float) -> float:
    if previous_s is None or alive_s >= HEALTHY_AFTER_S:
        return FIRST_S
    return min(previous_s * 2, LONGEST_S)
