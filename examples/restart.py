"""Stop and go on: a run that is interrupted continues from its checkpoint to the same numbers.

The commands are those of a terminal, `fkflow run` and `fkflow run --resume`. A job that is killed loses at most a few seconds.
"""

# %% A recipe in a folder of its own
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

folder = Path(tempfile.mkdtemp())
(folder / "well.toml").write_text("""[system]
name = "double_well"
[train]
iterations = 30
walkers = 128
[measure]
target_error = 1e-2
walkers = 1024
[project]
seconds = 0
""")


def command(*options):
    """The command line, as a list."""
    return [sys.executable, "-m", "fkflow", "run", "well.toml", "--seed", "1", "--threads", "1", "--json", *options]


def energy(*options):
    """Run it to the end; the variational energy from its JSON."""
    done = subprocess.run(command(*options), cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["variational"]["energy"]


# %% One run to the end, and one that is stopped as by Ctrl-C once there is a checkpoint: at the latest when training ends
whole = energy("--out", "whole")
stopped = subprocess.Popen(
    command("--out", "stopped"), cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
)
while stopped.poll() is None and not (folder / "stopped/checkpoint.pt").exists():
    time.sleep(0.01)
stopped.send_signal(signal.SIGINT)
_, said = stopped.communicate()
print(f"exit code {stopped.returncode}: {said.strip().splitlines()[-1]}")

# %% Go on: the same bits as if nothing had happened
resumed = energy("--out", "stopped", "--resume")
print(f"in one go {whole}, resumed {resumed}")
assert resumed == whole
