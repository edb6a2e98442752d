"""REValueD's update in PyTorch on CPU, as ``benchmark.py factored`` measures it: plain, one batched product a layer."""

from typing import Any

import torch
from protocol import Compile, Repeat, serve
from torch.nn import functional

Params = dict[str, torch.Tensor]


def build(task: dict[str, Any]) -> Compile:
    """Make networks, optimiser and a full replay; a repetition is a number of updates."""
    torch.manual_seed(0)
    params, target = init(task), init(task)
    for weights in params.values():
        weights.requires_grad_()
    optimiser = torch.optim.Adam(params.values(), lr=task["learning_rate"])
    replay = filled(task)

    def prepare() -> Repeat:
        def repeat() -> None:
            for _ in range(task["iterations"]):
                index = torch.randint(task["replay_size"], (task["batch_size"],))
                batch = {name: column[index] for name, column in replay.items()}
                update(params, target, optimiser, batch, task)

        return repeat

    return prepare


def init(task: dict[str, Any]) -> Params:
    """Weights ``[K, in, out]`` and biases uniform in ``±1 / sqrt(in)``, and one normalisation for all critics."""
    width = task["hidden_size"]
    outputs = task["components"] * task["choices"]
    shapes = {
        "input": (task["observation"], width),
        "residual_1": (width, width),
        "residual_2": (width, width),
        "head": (width, outputs),
    }
    params = {"norm_scale": torch.ones(width), "norm_offset": torch.zeros(width)}
    for name, (fan_in, fan_out) in shapes.items():
        bound = fan_in**-0.5
        params[f"{name}_kernel"] = torch.empty(task["num_critics"], fan_in, fan_out).uniform_(-bound, bound)
        params[f"{name}_bias"] = torch.empty(task["num_critics"], 1, fan_out).uniform_(-bound, bound)
    return params


def filled(task: dict[str, Any]) -> Params:
    """A replay of random n-step transitions."""
    size, observation = task["replay_size"], task["observation"]
    return {
        "obs": torch.rand(size, observation),
        "action": torch.randint(task["choices"], (size, task["components"])),
        "reward": torch.rand(size),
        "discount": torch.full((size,), task["discount"] ** task["n_step"]),
        "terminated": torch.zeros(size),
        "next_obs": torch.rand(size, observation),
    }


def utilities(params: Params, obs: torch.Tensor, task: dict[str, Any]) -> torch.Tensor:
    """``[K, B, N, n]`` of observations ``[B, F]``."""

    def layer(x: torch.Tensor, name: str) -> torch.Tensor:
        return torch.baddbmm(params[f"{name}_bias"], x, params[f"{name}_kernel"])

    hidden = layer(obs.expand(task["num_critics"], *obs.shape), "input")
    hidden = hidden + layer(layer(hidden, "residual_1").relu(), "residual_2").relu()
    hidden = functional.layer_norm(hidden, hidden.shape[-1:], params["norm_scale"], params["norm_offset"])
    return layer(hidden, "head").unflatten(-1, (task["components"], task["choices"]))


def taken(params: Params, batch: Params, task: dict[str, Any]) -> torch.Tensor:
    """Utilities ``[K, B, N]`` of the choices taken."""
    action = batch["action"].expand(task["num_critics"], -1, -1)
    return utilities(params, batch["obs"], task).gather(-1, action[..., None])[..., 0]


def loss(params: Params, target: Params, batch: Params, task: dict[str, Any]) -> torch.Tensor:
    """Mean Huber loss of all critics' errors on one target, and the regulariser."""
    with torch.no_grad():
        value = utilities(target, batch["next_obs"], task).mean(0).amax(-1).mean(-1)
        y = batch["reward"] + batch["discount"] * (1.0 - batch["terminated"]) * value
        anchor = taken(target, batch, task)
    utility = taken(params, batch, task)
    value = utility.mean(-1)
    weight = 1.0 - torch.exp(-(y[:, None] - utility.detach()).abs())
    held = (weight * (anchor - utility).square()).mean()
    return functional.huber_loss(value, y.expand_as(value)) + task["regulariser"] * held


def update(
    params: Params, target: Params, optimiser: torch.optim.Optimizer, batch: Params, task: dict[str, Any]
) -> None:
    """Descend behind a clip of the global norm; the targets follow."""
    optimiser.zero_grad()
    loss(params, target, batch, task).backward()
    torch.nn.utils.clip_grad_norm_(params.values(), task["max_grad_norm"])
    optimiser.step()
    with torch.no_grad():
        for name, weights in params.items():
            target[name].lerp_(weights, task["target_rate"])


if __name__ == "__main__":
    serve(build, ("torch",))
