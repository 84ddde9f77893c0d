"""How large a model is, by its name, and what one of that size costs to run, roughly."""

import re
from typing import Final

from shared.policy import PriceSetting

# What hosts ask for open models, by and large: half a cent per billion parameters for a million tokens in, a
# cent for as many out.
INPUT_PER_BILLION: Final = 0.005
OUTPUT_PER_BILLION: Final = 0.01
ASSUMED: Final = 8_000_000_000  # where neither its server nor its name tells the size
_UNITS: Final = {"m": 1_000_000, "b": 1_000_000_000, "t": 1_000_000_000_000}
_SIZE: Final = re.compile(r"(?<![a-z0-9.])(?:([0-9]{1,3})x)?e?([0-9]{1,4}(?:\.[0-9]{1,3})?)([bmt])(?![a-z0-9])")


def parameters_by_name(name: str) -> int:
    """`llama3.1:70b` is 70 billion, `mixtral-8x7b` 56, of `qwen3-30b-a3b` all 30; 0 where the name does not tell."""
    return max(
        (round(int(times or 1) * float(size) * _UNITS[unit]) for times, size, unit in _SIZE.findall(name.lower())),
        default=0,
    )


def estimated_price(parameters: int) -> PriceSetting:
    """US dollars per million tokens, two digits of it; never nothing, for a model that runs is not free."""
    billions = parameters / 1_000_000_000
    return PriceSetting(
        input_per_1m=max(_two_digits(billions * INPUT_PER_BILLION), 0.001),
        output_per_1m=max(_two_digits(billions * OUTPUT_PER_BILLION), 0.002),
    )


def written(parameters: int) -> str:
    """`135M`, `1.5B`, `70B`."""
    unit, word = (1_000_000_000, "B") if parameters >= 1_000_000_000 else (1_000_000, "M")
    return f"{float(f'{parameters / unit:.3g}'):g}{word}"


def _two_digits(usd: float) -> float:
    return float(f"{usd:.2g}")
