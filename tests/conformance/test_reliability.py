"""Runs can be resumed, loaded and evaluated again to the same bits, and a failure spoils nothing."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import host, unequal

import rlx
from rlx.runner.checkpoint import Checkpoints
from rlx.runner.evaluate import acting_part
from rlx.runner.run import RunFailed

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
sys.path.insert(0, str(EXPERIMENTS))
from kill_resume import differences
