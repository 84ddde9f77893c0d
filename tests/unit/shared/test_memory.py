"""Whether large blocks are gone when they are free."""

import subprocess
import sys

SCRIPT = """
import sys
from shared.memory import give_large_blocks_back

if sys.argv[1] == "back":
    give_large_blocks_back()
size = 20 * 1024 * 1024
for _ in range(3):
    blocks = [bytearray(size) for _ in range(8)]
    small = [bytearray(100_000) for _ in range(8)]
    del blocks
with open("/proc/self/statm") as file:
    print(int(file.read().split()[1]) * 4096)
"""


def resident(way):
    return int(subprocess.run([sys.executable, "-c", SCRIPT, way], capture_output=True, text=True, check=True).stdout)


def test_what_was_large_is_given_back():
    assert resident("back") < 40 * 1024 * 1024
