import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

LOST = """
import gc, os, signal, time
from pipelines.cli.interrupted import if_interrupted, repeat_lost_interrupts

class Pressed:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

{repeat}
with if_interrupted(lambda: "; nothing was lost"):
    one = Pressed()
    del one
    for _ in range(50):
        time.sleep(0.1)
print("went on")
"""


@pytest.mark.parametrize("repeat", ["", "repeat_lost_interrupts()"])
def test_ctrl_c_where_python_cannot_raise_ends_the_command(repeat):
    done = subprocess.run(
        [sys.executable, "-c", LOST.format(repeat=repeat)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if repeat:
        assert "interrupted; nothing was lost" in done.stdout + done.stderr
        assert "went on" not in done.stdout
    else:  # the reason for repeating; if this fails, Python has fixed it
        assert done.stdout == "went on\n"
