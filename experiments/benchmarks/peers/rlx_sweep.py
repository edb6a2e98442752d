"""A sweep of step sizes in rlx, as ``benchmark.py sweep_time`` times it: `rlx.sweep` and all it writes."""

import json
import sys
import tempfile
import time
from pathlib import Path

import rlx


def main(task: dict) -> float:
    """Seconds that the whole sweep takes, compilation included, imports not."""
    fields = {f"agent.{name}": value for name, value in task["hyperparameters"].items() if name != "learning_rate"}
    with tempfile.TemporaryDirectory() as folder:
        values = {
            "agent": task["algorithm"],
            "env": "gymnax/CartPole-v1",
            **fields,
            "sweep.agent.learning_rate": task["rates"],
            "num_seeds": task["seeds"],
            "total_steps": task["steps"],
            "num_evaluations": 1,
            "num_checkpoints": 1,
            "eval_episodes": 1,
            "sweep_dir": str(Path(folder, "sweep")),
        }
        began = time.perf_counter()
        rlx.sweep(values, quiet=True)
        return time.perf_counter() - began


if __name__ == "__main__":
    seconds = main(json.loads(sys.argv[1]))
    print(json.dumps({"seconds": seconds}))
