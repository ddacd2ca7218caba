"""The contract that every generative method keeps: a model is a list of stages, and it samples.

Progress is counted in training examples (`samples_seen`), over all processes. Learning rates, averages and budgets
follow that count and never a number of optimizer steps.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

__all__ = [
    "EMA",
    "Batch",
    "ClosedFormStage",
    "GradientStage",
    "Model",
    "Optimization",
    "Stage",
    "StepContext",
    "bf16_pays",
]

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Optimization:
    """How a network's weights are fitted: AdamW and a learning rate that follows the examples seen.

    The rate rises linearly over `warmup` examples, stays, and falls linearly to zero over the last `cooldown` share of
    the stage ("warmup, stable, decay", Hu et al., 2024). What stays does not depend on the budget, so that a run may
    fix its budget after it has measured its speed.

    Attributes:
        lr: Learning rate between warm-up and cool-down.
        betas: AdamW's decay rates of its moments.
        weight_decay: AdamW's decoupled weight decay.
        warmup: Examples over which the learning rate rises.
        cooldown: Share of the stage over which it falls, 0 to 1.
        clip: Largest norm of the gradient.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    warmup: int = 20_000
    cooldown: float = 0.5
    clip: float = 1.0

    def optimizer(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer over `parameters`."""
        return torch.optim.AdamW(
            parameters, lr=self.lr, betas=(self.betas[0], self.betas[1]), weight_decay=self.weight_decay, fused=True
        )

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
        for kept, buffer in zip(average.buffers(), module.buffers(), strict=True):
            kept.copy_(buffer)


def bf16_pays(device: torch.device) -> bool:
    """Whether matrix products in bf16 are faster than in fp32 on a device: it has instructions for them."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


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

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """`optimizer_count` new optimizers, in the order in which `training_step` gets them."""
        return []

    def training_step(self, batch: Batch, context: "StepContext") -> dict[str, Tensor]:
        """Learns from one batch; returns detached scalars to log, still on the device."""
        raise NotImplementedError

    def validation_loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Objective of `trained` on one batch: a scalar, lower is better."""
        raise NotImplementedError

    def fit(self, data: Batch) -> None:
        """Closed form: learns from the whole encoded data, once."""
        raise NotImplementedError


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
    """

    optimizers: list[torch.optim.Optimizer]
    backward: Callable[[Tensor], None]
    generator: torch.Generator
    seen: int
    total: int | None
    examples: int


class GradientStage(Stage):
    """A module and one loss, fitted by one optimizer, with a moving average if sampling uses one.

    Args:
        module: What is trained.
        loss: (module, batch, generator) to a scalar.
        optimization: How.
        ema: Average that sampling uses, or None for the module itself.
        share: Share of the model's budget.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[[Any, Batch, torch.Generator], Tensor],
        optimization: Optimization,
        ema: EMA | None = None,
        share: float = 1.0,
    ) -> None:
        super().__init__(share)
        self.module = module
        self.loss = loss
        self.optimization = optimization
        self.ema = ema
        self.average = deepcopy(module).requires_grad_(False).eval() if ema else None

    optimizer_count = 1

    @property
    def trained(self) -> nn.Module:
        """The average where there is one, else the module."""
        return self.module if self.average is None else self.average

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """One, over the module's parameters."""
        return [self.optimization.optimizer([p for p in self.module.parameters() if p.requires_grad])]

    def training_step(self, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """Loss, backward, clip, step, average."""
        (optimizer,) = context.optimizers
        for group in optimizer.param_groups:
            group["lr"] = self.optimization.rate(context.seen, context.total)
        loss = self.loss(self.module, batch, context.generator)
        optimizer.zero_grad()
        context.backward(loss)
        nn.utils.clip_grad_norm_(self.module.parameters(), self.optimization.clip)
        optimizer.step()
        if self.ema and self.average is not None:
            self.ema.update(self.average, self.module, context.examples, context.seen + context.examples)
        return {"loss": loss.detach()}

    @torch.no_grad()
    def validation_loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """The loss of what sampling uses."""
        return self.loss(self.trained, batch, generator)


class ClosedFormStage(Stage):
    """A module that is fitted to the whole encoded data at once.

    Args:
        module: What is fitted; its state is all that sampling needs.
        solve: (module, data) fits the module in place.
        share: Share of the budget; it takes no examples whatever this is.
    """

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


class Model(LightningModule):
    """A generative method: what it learns in which stages, and how it samples.

    A subclass builds its networks from a layout, hands `stages` to `super().__init__`, and writes `sample_block`.

    Attributes:
        conditioning: How `sample` keeps to a condition: "exact", by "rejection", "approximate", or "none".
        block_size: Rows that are drawn together. Part of the model: another size gives other samples.
        samples_seen: Training examples seen so far, over all processes.
        budget: Training examples in all; None while a run in time has not yet fixed it.
        seed: Of the training noise.
    """

    conditioning: Literal["exact", "rejection", "approximate", "none"] = "none"
    block_size: int = 2048
    stages: Sequence[Stage]

    def __init__(self, stages: list[Stage]) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.stages = nn.ModuleList(stages)  # type: ignore[assignment]  # a ModuleList forgets what it holds
        self.samples_seen = 0
        self.budget: int | None = None
        self.seed = 0
        self.latest: dict[str, Tensor] = {}
        self._solved = 0  # stages that have ended
        self._stage_optimizers: list[list[Any]] = []
        self._training_noise = torch.Generator()
        self._validation_noise = torch.Generator()
        self._restored_noise: Tensor | None = None

    # Sampling

    @abstractmethod
    def sample_block(self, size: int, condition: Batch | None, generator: torch.Generator, **options: Any) -> Batch:
        """Draws `size` encoded examples.

        Args:
            size: Always `block_size`.
            condition: What `codec.encode_condition` gives, `size` rows of it, or None.
            generator: The only source of randomness, on the model's device.
            **options: The method's own, such as a sampler and its steps.
        """

    @torch.inference_mode()
    def sample(
        self,
        n: int,
        condition: Batch | None = None,
        seed: int = 0,
        start: int = 0,
        progress: Callable[[int], None] | None = None,
        **options: Any,
    ) -> Batch:
        """Draws examples `start` .. `start + n − 1` of the endless sequence that `seed` names.

        The sequence is computed in whole blocks, each seeded by (seed, block): the same examples however many are asked
        for at once, in whatever parts.

        Args:
            n: Number of examples, at least 1.
            condition: Encoded condition, one row an example, or None.
            seed: Names the sequence.
            start: Index of the first example.
            progress: Called after every block with the number of examples it contributed.
            **options: The method's own.

        Returns:
            Encoded examples, on the CPU, for `codec.decode`.
        """
        self.eval()
        parts = []
        for block in range(start // self.block_size, -(-(start + n) // self.block_size)):
            first = block * self.block_size
            low, high = max(start, first), min(start + n, first + self.block_size)
            words = np.random.SeedSequence([seed, block]).generate_state(1, np.uint64)
            generator = torch.Generator(self.device).manual_seed(int(words[0]) % 2**63)
            rows = (
                None if condition is None else self._block_condition(condition, low - start, high - start, low - first)
            )
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16_pays(self.device)):
                drawn = self.sample_block(self.block_size, rows, generator, **options)
            parts.append({name: value[low - first : high - first].cpu() for name, value in drawn.items()})
            if progress:
                progress(high - low)
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _block_condition(self, condition: Batch, low: int, high: int, offset: int) -> Batch:
        """Rows low .. high − 1 of a condition, at their places in a whole block; other places repeat the last row."""
        index = torch.arange(self.block_size).sub(offset).clamp(0, high - low - 1).add(low)
        return {name: value[index].to(self.device) for name, value in condition.items()}

    # What a checkpoint folder keeps

    def trained_state(self) -> dict[str, Tensor]:
        """The weights that sampling uses, by stage."""
        state = {}
        for i, stage in enumerate(self.stages):
            for name, value in stage.trained.state_dict().items():
                state[f"stage{i}.{name}"] = value
        return state

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Takes weights that `trained_state` gave, for sampling or as a start for training.

        Raises:
            RuntimeError: Names or shapes differ from this model's.
        """
        for i, stage in enumerate(self.stages):
            prefix = f"stage{i}."
            own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
            stage.trained.load_state_dict(own)
            if isinstance(stage, GradientStage):
                stage.module.load_state_dict(own)

    # Training

    @property
    def stage(self) -> Stage:
        """The stage that the examples seen so far have led to."""
        return self.stages[self._stage_index()]

    def stage_span(self, index: int) -> tuple[int, int | None]:
        """Examples at which stage `index` begins and ends; the end is None while the budget is not fixed.

        Raises:
            RuntimeError: A later stage is asked for while the budget is not fixed.
        """
        shares = [stage.share for stage in self.stages]
        before, here, total = sum(shares[:index]), shares[index], sum(shares) or 1.0
        if self.budget is None:
            if before:
                raise RuntimeError("the budget of a model with several stages must be fixed before the second begins")
            return 0, None
        return round(self.budget * before / total), round(self.budget * (before + here) / total)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """The optimizers of all stages, one after another."""
        return [optimizer for stage in self.stages for optimizer in stage.optimizers()]

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Hands the batch to the current stage."""
        index = self._stage_index()
        stage = self.stages[index]
        begin, end = self.stage_span(index)
        examples = len(next(iter(batch.values()))) * self.trainer.world_size
        context = StepContext(
            optimizers=self._stage_optimizers[index],
            backward=self.manual_backward,
            generator=self._training_noise,
            seen=self.samples_seen - begin,
            total=None if end is None else end - begin,
            examples=examples,
        )
        self.latest = stage.training_step(batch, context)
        self.samples_seen += examples

    def on_train_start(self) -> None:
        """Puts the data stream where the examples seen so far have led to, and runs closed-form stages."""
        self._train_stream.load_state_dict({"position": self.samples_seen})
        flat = self.optimizers()
        remaining = iter(flat if isinstance(flat, list) else [flat])
        self._stage_optimizers = [[next(remaining) for _ in range(stage.optimizer_count)] for stage in self.stages]
        self._training_noise = torch.Generator(self.device)
        self._training_noise.manual_seed(self.seed * 1_000_003 + self.global_rank)
        if self._restored_noise is not None:
            self._training_noise.set_state(self._restored_noise)
        self._solve_closed_forms()

    def on_train_batch_end(self, *_: Any) -> None:
        """Runs the closed-form stages that come next, if the stage before them has just ended."""
        self._solve_closed_forms()

    def on_validation_start(self) -> None:
        """The same noise for every validation, so that its figures compare."""
        self._validation_noise = torch.Generator(self.device).manual_seed(self.seed)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Logs the current stage's loss under its average as `val/loss`."""
        loss = self.stage.validation_loss(batch, self._validation_noise)
        rows = len(next(iter(batch.values())))
        self.log("val/loss", loss, batch_size=rows, sync_dist=True, logger=False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the position in training."""
        checkpoint["synthgen"] = {
            "samples_seen": self.samples_seen,
            "budget": self.budget,
            "solved": self._solved,
            "noise": self._training_noise.get_state(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Reads what `on_save_checkpoint` added."""
        state = checkpoint["synthgen"]
        self.samples_seen, self.budget = state["samples_seen"], state["budget"]
        self._solved, self._restored_noise = state["solved"], state["noise"]

    @property
    def _train_stream(self) -> Any:
        """The `ResidentLoader`; models know no data, so by what it does and not by its class."""
        return self.trainer.train_dataloader

    def _stage_index(self) -> int:
        """The last stage that has begun and takes examples; the first one while the budget is not fixed."""
        taking = [i for i, stage in enumerate(self.stages) if stage.share]
        if self.budget is None or not taking:
            return taking[0] if taking else 0
        return max(i for i in taking if self.stage_span(i)[0] <= self.samples_seen)

    def _solve_closed_forms(self) -> None:
        """Fits every closed-form stage whose turn has come: those that directly follow a stage that has ended."""
        while self._solved < len(self.stages):
            stage = self.stages[self._solved]
            if not isinstance(stage, ClosedFormStage):
                end = self.stage_span(self._solved)[1]
                if end is None or self.samples_seen < end:
                    return
            else:
                stage.fit(self._train_stream.tensors)
            self._solved += 1
