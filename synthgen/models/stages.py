"""Stages: the fits that a model's training consists of, and how each optimizes and averages.

Progress is counted in training examples (`samples_seen`), over all processes. Learning rates, averages and budgets
follow that count and never a number of optimizer steps.
"""

import math
from abc import abstractmethod
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

__all__ = ["EMA", "Batch", "ClosedFormStage", "GradientStage", "Optimization", "Stage", "StepContext"]

Batch = dict[str, Tensor]

_LAYERS = (
    *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding, nn.EmbeddingBag),
    *(nn.LayerNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d),
)


class _AdamW(torch.optim.AdamW):
    """AdamW that looks for an accelerator once, and not in every step, where that costs a load of its driver's library.

    PyTorch looks for one to refuse a step that is captured in a graph unasked.
    """

    _HAS_ACCELERATOR = torch.accelerator.is_available()

    def _accelerator_graph_capture_health_check(self) -> None:
        if self._HAS_ACCELERATOR:
            super()._accelerator_graph_capture_health_check()


@dataclass(frozen=True)
class Optimization:
    """How a network's weights are fitted: AdamW and a learning rate that follows the examples seen.

    The rate rises linearly over `warmup` examples, stays, and falls linearly to zero over the last `cooldown` share of
    the stage ("warmup, stable, decay", Hu et al., 2024). What stays does not depend on the budget, so that a run may
    fix its budget after it has measured its speed.

    Attributes:
        lr: Learning rate between warm-up and cool-down.
        betas: AdamW's decay rates of its moments.
        weight_decay: AdamW's decoupled weight decay (Loshchilov and Hutter, 2019).
        warmup: Examples over which the learning rate rises.
        cooldown: Share of the stage over which it falls, 0 to 1.
        clip: Largest norm of the gradient; infinity clips none.
        patience: Validations in a row without a lower loss after which the cool-down begins, as if the budget were such
            that it began there; None waits for the budget's own.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    warmup: int = 20_000
    cooldown: float = 0.5
    clip: float = 1.0
    patience: int | None = None

    def optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over a module's parameters.

        What layers are made of decays. A parameter that a module holds by itself means something, such as the exponent
        of a noise schedule or a frequency, and does not.
        """
        # Not by `layer.weight`: to read that of a layer with spectral normalisation is a step of its power iteration.
        layers = [part for part in module.modules() if isinstance(part, _LAYERS)]
        parametrized: list[Any] = [layer.parametrizations for layer in layers if is_parametrized(layer)]
        decaying = {id(parameter) for layer in layers for parameter in layer.parameters(recurse=False)}
        decaying |= {id(parameter) for layer in parametrized for parameter in layer.parameters()}
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in trained if id(p) in decaying], "weight_decay": self.weight_decay},
            {"params": [p for p in trained if id(p) not in decaying], "weight_decay": 0.0},
        ]
        if self.weight_decay == 0:
            groups = [{"params": trained, "weight_decay": 0.0}]
        return _AdamW(groups, lr=self.lr, betas=(self.betas[0], self.betas[1]), fused=True)

    def step(self, context: "StepContext", optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        """One step down `loss`: backward, clip, and the optimizer's own at the rate of the examples seen.

        It is not taken where the loss or a gradient is not finite: weights and moments stay as they are (an optimizer
        that is not fused sees gradients of zero instead). That is decided on the device, which nothing waits for.
        """
        for group in optimizer.param_groups:
            group["lr"] = context.rate_factor * self.rate(context.seen, context.total)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for parameter in parameters:
            parameter.grad = None
        context.backward(loss)
        norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        context.norms.append(norm)
        sound = (norm + loss.detach()).isfinite()
        # Lightning hands out the optimizer in a wrapper of its own.
        inner: Any = getattr(optimizer, "optimizer", optimizer)
        if inner.defaults.get("fused"):
            # What a gradient scaler tells a fused optimizer, which then passes over the gradients once and not twice.
            inner.found_inf = sound.logical_not().float()
            inner.grad_scale = (norm / self.clip).clamp_min(1.0) if self.clip < math.inf else None
        else:
            nn.utils.clip_grads_with_norm_(parameters, self.clip, norm)
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad = torch.where(sound, parameter.grad, 0)
        optimizer.step()

    def rate(self, seen: int, total: int | None) -> float:
        """Learning rate after `seen` of `total` examples of the stage; before the total is known, without cool-down."""
        rate = self.lr * min(1.0, (seen + 1) / max(self.warmup, 1))
        if total is None or self.cooldown == 0:
            return rate
        return rate * min(1.0, max(0.0, (total - seen) / (self.cooldown * total)))


@dataclass(frozen=True)
class EMA:
    """An exponential moving average of weights, by examples seen.

    The half-life grows with the run (`rampup` of the examples seen so far) up to `halflife`, so that a short run is not
    averaged with its own beginning (Karras et al., 2022, reference implementation).

    Attributes:
        halflife: Examples over which the weight of the past halves.
        rampup: Half-life as a share of the examples seen, while that is less.
    """

    halflife: float = 500_000
    rampup: float = 0.05

    @torch.no_grad()
    def update(self, average: nn.Module, module: nn.Module, batch: int, seen: int) -> None:
        """Moves `average` towards `module` after a batch; buffers, such as BatchNorm's, are copied."""
        halflife = max(1.0, min(self.halflife, seen * self.rampup))
        weight = 1 - 0.5 ** (batch / halflife)
        torch._foreach_lerp_(list(average.parameters()), list(module.parameters()), weight)
        if kept := list(average.buffers()):
            torch._foreach_copy_(kept, list(module.buffers()))


class Stage(nn.Module):
    """One fit within a model's training: an objective, its optimizers, its share of the budget.

    Args:
        share: Share of the model's budget, relative to the other stages.
    """

    def __init__(self, share: float = 1.0) -> None:
        super().__init__()
        self.share = share

    @property
    @abstractmethod
    def trained(self) -> nn.Module:
        """The module that sampling uses and a checkpoint folder keeps."""

    #: Number of optimizers: 2 for a GAN, 0 for a closed form.
    optimizer_count: int = 0
    #: Whether `validation_loss` says how good `trained` is. If not, the last weights are kept and not the best.
    validates: bool = True

    @property
    def plateau(self) -> tuple[int, float] | None:
        """Validations without a better figure after which the stage goes on to its end, and the share of it that is
        still to come then; None where it takes all of its budget.
        """
        return None

    def load_trained(self, state: dict[str, Tensor]) -> None:
        """Takes weights of `trained`, for sampling and as a start for training.

        Raises:
            RuntimeError: Names or shapes differ.
        """
        self.trained.load_state_dict(state)

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """`optimizer_count` new optimizers, in the order in which `training_step` gets them."""
        return []

    def training_step(self, batch: Batch, context: "StepContext") -> dict[str, Tensor]:
        """Learns from one batch; returns detached scalars to log, still on the device."""
        raise NotImplementedError

    def validation_loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Objective of what is validated on one batch, lower is better: a scalar, or one for each of its parts."""
        raise NotImplementedError

    def validated(self, losses: Tensor, rows: int) -> Tensor:
        """Takes note of a validation's `validation_loss`, the mean over so many rows; returns that of `trained`."""
        return losses

    def fit(self, data: Batch) -> None:
        """Closed form: learns from the whole encoded data, once."""
        raise NotImplementedError

    def prepare(self, data: Batch) -> None:
        """Adds to the resident data what batches of this stage hold besides: before its first one, and again where a
        run goes on within the stage.

        Args:
            data: The whole encoded training data, resident on the device.
        """


@dataclass(frozen=True)
class StepContext:
    """What a stage needs of the training around it for one step.

    Attributes:
        optimizers: The stage's own.
        backward: Takes a loss to gradients, under whatever precision and strategy the trainer uses.
        generator: Source of all noise, on the device, private to training.
        seen: Examples that this stage has seen before this batch.
        total: Examples that it will see; None while that is not fixed.
        examples: Examples in this batch, over all processes.
        data: The whole encoded training data, resident on the device, for a stage that draws from it by itself.
        rate_factor: Factor of all learning rates, below 1 after training has been rolled back.
        norms: Gradient norms of the steps taken within this batch, before clipping; `Optimization.step` adds to them.
        rows: Indices into `data` of the rows that the stage took in the place of the batch's; it adds to them.
    """

    optimizers: list[torch.optim.Optimizer]
    backward: Callable[[Tensor], None]
    generator: torch.Generator
    seen: int
    total: int | None
    examples: int
    data: Batch
    rate_factor: float = 1.0
    norms: list[Tensor] = field(default_factory=list)
    rows: list[Tensor] = field(default_factory=list)


class GradientStage(Stage):
    """A module and one loss, fitted by one optimizer, with a moving average if sampling uses one.

    Args:
        module: What is trained.
        loss: (module, batch, generator) to a scalar.
        optimization: How.
        ema: Average that sampling uses, or None for the module itself.
        share: Share of the model's budget.
        validation: What says how good the module is, of the same form as `loss`, where the loss has weights that help
            to learn and mean nothing; by default the loss.
        resident: What the stage learns from besides the data, computed once from the whole of it when the stage begins:
            batches then hold their rows of it. Those of validation do not.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[[Any, Batch, torch.Generator], Tensor],
        optimization: Optimization,
        ema: EMA | None = None,
        share: float = 1.0,
        validation: Callable[[Any, Batch, torch.Generator], Tensor] | None = None,
        resident: Callable[[Batch], Batch] | None = None,
    ) -> None:
        super().__init__(share)
        self.module = module
        self.loss = loss
        self.validation = validation or loss
        self.resident = resident
        self.optimization = optimization
        self.ema = ema
        self.average = deepcopy(module).requires_grad_(False).eval() if ema else None

    optimizer_count = 1

    @property
    def trained(self) -> nn.Module:
        """The average where there is one, else the module."""
        return self.module if self.average is None else self.average

    @property
    def plateau(self) -> tuple[int, float] | None:
        """The optimization's patience and cool-down."""
        patience = self.optimization.patience
        return None if patience is None else (patience, self.optimization.cooldown)

    def load_trained(self, state: dict[str, Tensor]) -> None:
        """Both the module and its average."""
        super().load_trained(state)
        self.module.load_state_dict(state)

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """One, over the module's parameters."""
        return [self.optimization.optimizer(self.module)]

    def training_step(self, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """Loss, backward, clip, step, average."""
        (optimizer,) = context.optimizers
        loss = self.loss(self.module, batch, context.generator)
        self.optimization.step(context, optimizer, loss)
        if self.ema and self.average is not None:
            self.ema.update(self.average, self.module, context.examples, context.seen + context.examples)
        return {"loss": loss.detach()}

    @torch.no_grad()
    def prepare(self, data: Batch) -> None:
        """Adds what is `resident`."""
        if self.resident is not None:
            data.update(self.resident(data))

    @torch.no_grad()
    def validation_loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """The validation objective of what sampling uses."""
        return self.validation(self.trained, batch, generator)


class ClosedFormStage(Stage):
    """A module that is fitted to the whole encoded data at once, and takes no share of the budget.

    Args:
        module: What is fitted; its state is all that sampling needs.
        solve: (module, data) fits the module in place.
    """

    validates = False

    def __init__(self, module: nn.Module, solve: Callable[[nn.Module, Batch], None]) -> None:
        super().__init__(share=0.0)
        self.module = module
        self.solve = solve

    @property
    def trained(self) -> nn.Module:
        """The fitted module."""
        return self.module

    @torch.no_grad()
    def fit(self, data: Batch) -> None:
        """Fits the module."""
        self.solve(self.module, data)
