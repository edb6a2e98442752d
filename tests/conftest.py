"""Settings that must be made before JAX starts: eight host devices, for subprocesses too, so that sharding is tested.

Compiled programs are kept where `rlx.devices` keeps them, so a second run of the tests compiles little.
"""

import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
