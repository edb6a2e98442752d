"""Symphony's update in PyTorch on CPU, as ``benchmark.py symphony`` measures it: plain, one batched product a layer."""

import math
from typing import Any

import torch
from protocol import Compile, Repeat, serve
from torch.nn import functional

Params = dict[str, torch.Tensor]


def build(task: dict[str, Any]) -> Compile:
    """Make networks, running means and a full replay; a repetition is a number of updates."""
    torch.manual_seed(0)
    pair = task["observation"] + task["action"]
    actor = init(1, task["observation"], task["hidden_size"], 3 * task["action"])
    critics = init(task["num_critics"], pair, task["hidden_size"], task["num_nodes"])
    target = {name: weights.clone() for name, weights in critics.items()}
    learned = [*actor.values(), *critics.values()]
    for weights in learned:
        weights.requires_grad_()
    moments = [(torch.zeros_like(weights), torch.zeros_like(weights)) for weights in learned]
    replay, cumulative, weights = filled(task), table(task["replay_size"]), node_weights(task)
    state = {"mean_value": torch.zeros(()), "pointer": task["replay_size"] - 1}

    def update() -> None:
        write(replay, state)
        age = torch.searchsorted(cumulative, torch.rand(task["batch_size"])).clamp(max=task["replay_size"] - 1)
        index = (state["pointer"] + 1 + age) % task["replay_size"]
        batch = {name: column[index] for name, column in replay.items()}
        total, state["mean_value"] = loss(actor, critics, target, batch, state["mean_value"], weights, task)
        gradients = torch.autograd.grad(total, learned)
        with torch.no_grad():
            descend(learned, gradients, moments, task)
            for name, weight in critics.items():
                target[name].lerp_(weight, task["target_rate"])

    def prepare() -> Repeat:
        def repeat() -> None:
            for _ in range(task["iterations"]):
                update()

        return repeat

    return prepare


def init(members: int, inputs: int, width: int, outputs: int) -> Params:
    """Weights ``[K, in, out]`` and biases uniform in ``±1 / sqrt(in)``, a normalisation and scales of sines."""
    params = {"scale": torch.ones(members, 1, width), "offset": torch.zeros(members, 1, width)}
    for number, (fan_in, fan_out) in enumerate(((inputs, width), (width, width), (width, outputs))):
        bound = fan_in**-0.5
        params[f"kernel_{number}"] = torch.empty(members, fan_in, fan_out).uniform_(-bound, bound)
        params[f"bias_{number}"] = torch.empty(members, 1, fan_out).uniform_(-bound, bound)
    params["s"] = torch.empty(members, 1, width).uniform_(-(width**-0.5), width**-0.5)
    return params


def filled(task: dict[str, Any]) -> Params:
    """A replay of random transitions."""
    size, observation = task["replay_size"], task["observation"]
    return {
        "obs": torch.rand(size, observation),
        "action": torch.rand(size, task["action"]),
        "reward": torch.rand(size),
        "discount": torch.full((size,), task["discount"]),
        "next_obs": torch.rand(size, observation),
    }


def fading(share: torch.Tensor) -> torch.Tensor:
    """``tanh((pi x)^e)``."""
    return torch.tanh((math.pi * share) ** math.e)


def table(size: int) -> torch.Tensor:
    """Cumulative probabilities of entries from the oldest on."""
    weights = fading(torch.arange(size, dtype=torch.float64) / size)
    return (weights.cumsum(0) / weights.sum()).float()


def node_weights(task: dict[str, Any]) -> torch.Tensor:
    """Weights of nodes from the least to the largest."""
    size = task["num_critics"] * task["num_nodes"]
    weights = fading(1 - torch.arange(size, dtype=torch.float64) / size)
    return (weights / weights.sum()).float()


def write(replay: Params, state: dict[str, Any]) -> None:
    """Overwrite one transition with another, and move the pointer past a termination."""
    size, at = len(replay["reward"]), state["pointer"]
    for column in replay.values():
        column[at] = column[(at + 7) % size]
    at = (at + 1) % size
    state["pointer"] = (at + int(replay["discount"][at] == 0)) % size


def network(params: Params, x: torch.Tensor) -> torch.Tensor:
    """``[K, B, out]`` of inputs ``[B, F]``."""
    x = torch.baddbmm(params["bias_0"], x.expand(len(params["kernel_0"]), *x.shape), params["kernel_0"])
    x = functional.layer_norm(x, x.shape[-1:]) * params["scale"] + params["offset"]
    x = torch.baddbmm(params["bias_1"], x, params["kernel_1"])
    scale = torch.sigmoid(params["s"])
    wave = torch.sin(x / scale)
    x = scale * wave * torch.sigmoid(1.5 * wave)
    return torch.baddbmm(params["bias_2"], x, params["kernel_2"])


def nodes(critics: Params, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
    """All nodes, ``[B, K n]``."""
    return network(critics, torch.cat([obs, action], -1)).transpose(0, 1).flatten(1)


def loss(
    actor: Params,
    critics: Params,
    target: Params,
    batch: Params,
    mean_value: torch.Tensor,
    weights: torch.Tensor,
    task: dict[str, Any],
) -> tuple[torch.Tensor, torch.Tensor]:
    """The one loss, and the new running mean of values."""
    direction, sigma, beta = torch.tanh(0.5 * network(actor, batch["next_obs"])[0]).chunk(3, -1)
    sigma, beta = sigma.abs(), beta.abs()
    noise = task["noise_std"] * torch.randn_like(direction).clamp(-task["noise_clip"], task["noise_clip"])
    action = torch.tanh(sigma * direction + noise)
    value = nodes(target, batch["next_obs"], action).sort(-1).values @ weights
    known = value.detach()
    y = batch["reward"] + batch["discount"] * known
    temporal = task["momentum"] * mean_value + (1 - task["momentum"]) * known
    x = (value - temporal) / temporal.abs().clamp(min=1e-8)
    gain = (x.abs() * torch.tanh(0.5 * x)).mean()
    errors = nodes(critics, batch["obs"], batch["action"]) - y[:, None]
    fit = (errors * torch.tanh(0.5 * errors)).mean()
    sigma, beta = sigma.clamp(1e-3, 1 - 1e-3), beta.clamp(1e-3, 1 - 1e-3)
    wall = 2 * torch.atanh(sigma ** (1 / beta.detach())) + 2 * torch.atanh(beta.square())
    return -gain + fit + (wall + beta * sigma * sigma.log()).mean(), temporal.mean()


def descend(
    params: list[torch.Tensor],
    gradients: tuple[torch.Tensor, ...],
    moments: list[tuple[torch.Tensor, torch.Tensor]],
    task: dict[str, Any],
) -> None:
    """Adam without bias correction, with decoupled decay."""
    for weights, gradient, (mean, square) in zip(params, gradients, moments, strict=True):
        mean.lerp_(gradient, 1 - task["b1"])
        square.mul_(task["b2"]).addcmul_(gradient, gradient, value=1 - task["b2"])
        step = mean / (square.sqrt() + 1e-8)
        weights.sub_(task["learning_rate"] * (step + task["weight_decay"] * weights))


if __name__ == "__main__":
    serve(build, ("torch",))
