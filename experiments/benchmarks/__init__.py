"""What is timed: a module each, with its ``Settings`` and ``measure(settings)``, which returns a ``Report``."""

# Name of the module -> what it measures.
BENCHMARKS = {
    "speed": "training, beside peers that do the same work or beside another checkout of rlx",
    "members": "members of a population, taking turns on a device or side by side",
    "scaling": "steps a second of 1 to 512 members, for the accelerator at hand",
    "breakdown": "what share of an iteration of PPO each part takes",
    "environments": "steps a second of microRTS by itself",
    "masked_run": "how long a training of masked PPO in microRTS takes, and what of it",
    "startup": "how long commands take until they say or do something, beside the import of JAX",
    "factored": "an update of REValueD, beside PyTorch and its own matrix products",
    "lingam": "causal discovery, beside the package that it follows",
    "soft": "an update of SAC beside its matrix products, and what ACE adds to it",
    "symphony": "an update of Symphony, beside PyTorch, its matrix products and its replay",
    "many_actions": "what share of a learning event of MBMA each part takes",
    "sweep_members": "members of a sweep in one program: speed, memory, and what the planner takes",
    "sweep_time": "a sweep of step sizes, compilation included, beside rejax",
    "sweep_halving": "what successive halving finds, and at what share of a grid's steps",
}
