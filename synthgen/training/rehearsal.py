"""How long an example of a stage takes that has not begun."""

import time
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor

from synthgen.models.stages import StepContext

__all__ = ["rehearse"]

# Steps that are not representative, and those that are timed.
_WARM_UP = 3
_TIMED = 10


def rehearse(trainer: Trainer, model: Any, index: int) -> float:
    """Takes some steps of a stage, and takes them back.

    Args:
        trainer: In a training run.
        model: The model; its stage is as it was afterwards, and so is the randomness of the run.
        index: Of the stage.

    Returns:
        Seconds an example, over all processes.
    """
    stage, device = model.stages[index], model.device
    stream: Any = trainer.train_dataloader
    rows = torch.arange(stream.batch_size, device=device) % len(next(iter(stream.tensors.values())))
    batch = {name: tensor[rows] for name, tensor in stream.tensors.items()}
    examples = stream.batch_size * trainer.world_size
    before = {name: value.clone() for name, value in stage.state_dict().items()}
    optimizers = stage.optimizers()

    def backward(loss: Tensor) -> None:
        # Not by `loss.backward()`: where several processes train, that would count as a step that they take together.
        learning = [parameter for parameter in stage.parameters() if parameter.requires_grad]
        for parameter, gradient in zip(learning, torch.autograd.grad(loss, learning, allow_unused=True)):
            parameter.grad = gradient

    generator = torch.Generator(device).manual_seed(0)
    begun = 0.0
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        stage.prepare(batch)
        for step in range(_WARM_UP + _TIMED):
            if step == _WARM_UP:
                begun = _now(device)
            context = StepContext(optimizers, backward, generator, step * examples, None, examples, batch)
            with trainer.precision_plugin.train_step_context():
                stage.training_step(batch, context)
        seconds = _now(device) - begun
    stage.load_state_dict(before)
    for parameter in stage.parameters():
        parameter.grad = None
    return seconds / (_TIMED * examples)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.monotonic()
