"""The contract that every generative method keeps: a model is a list of stages, and it samples."""

import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from synthgen.errors import SynthgenError
from synthgen.models.keeping import Acceptance, Keeping, alike_rows, own_rows
from synthgen.models.stages import Batch, ClosedFormStage, Stage, StepContext

__all__ = ["Acceptance", "Model", "bf16_pays"]

# Of the training state in a checkpoint: another one would go on from something else than it was saved at.
_STATE_FORMAT = 1


class Model(LightningModule):
    """A generative method: what it learns in which stages, and how it samples.

    A subclass builds its networks from a layout, hands `stages` to `super().__init__`, and writes `sample_block`.

    Attributes:
        conditioning: How `sample` keeps to a condition: "exact", by "rejection", "approximate", or "none".
        block_size: Rows that are drawn together. Part of the model: another size gives other samples.
        preview: Options with which `sample` is quicker and good enough to watch training by.
        samples_seen: Training examples seen so far, over all processes.
        budget: Training examples in all; None while a run in time has not yet fixed it.
        seed: Of the training noise.
        acceptance: Of the latest `sample` with a condition, where the model keeps to it by rejection.
        kept: Of the latest `sample` whose rows were judged by a `keeping`: how many of those drawn were kept.
        rate_factor: Factor of all learning rates, below 1 after training has been rolled back.
        latest: Losses of the latest batch, on the device.
        norms: Gradient norms of its steps, on the device.
        rows: Training rows that it took in the place of the loader's, if any.
    """

    conditioning: Literal["exact", "rejection", "approximate", "none"] = "none"
    block_size: int = 2048
    preview: ClassVar[dict[str, Any]] = {}
    stages: Sequence[Stage]

    def __init__(self, stages: list[Stage]) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.stages = nn.ModuleList(stages)  # type: ignore[assignment]  # a ModuleList forgets what it holds
        self.samples_seen = 0
        self.budget: int | None = None
        self.seed = 0
        self.acceptance: Acceptance | None = None
        self.kept: Acceptance | None = None
        self.rate_factor = 1.0
        self.latest: dict[str, Tensor] = {}
        self.norms: list[Tensor] = []
        self.rows: list[Tensor] = []
        self._solved = 0  # stages that have ended
        self._prepared = -1  # the stage that has made what its batches hold
        self._stage_optimizers: list[list[Any]] = []
        self._training_noise = torch.Generator()
        self._validation_noise = torch.Generator()
        self._validation_sums: list[Tensor] = []  # of losses of rows, and how many rows
        self._restored_noise: tuple[str | None, Tensor] | None = None  # kind of device, state

    # Sampling

    @abstractmethod
    def sample_block(self, size: int, condition: Batch | None, generator: torch.Generator, **options: Any) -> Batch:
        """Draws `size` encoded examples.

        Args:
            size: `block_size`, or another number of rows where only some that are drawn are kept.
            condition: What `codec.encode_condition` gives, `size` rows of it, and of each, (size,), `wanted`: whether
                it was asked for, or fills the block, and `row`: its number among all that were. Or None.
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
        keeping: Keeping | None = None,
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
            keeping: Which examples are kept; others of the same block are drawn in place of those that are not. By
                default all are.
            **options: The method's own.

        Returns:
            Encoded examples, on the CPU, for `codec.decode`.

        Raises:
            Unmet: Rows of the condition that no draw met.
            SynthgenError: Hardly any example is kept.
        """
        self.eval()
        self.acceptance = Acceptance() if condition is not None and self.conditioning == "rejection" else None
        kept = Acceptance()
        self.kept = kept if keeping is not None else None
        parts = []
        begin = start // self.block_size
        # What comes before has a say in what is kept.
        judged_from = 0 if keeping is not None and keeping.ordered and keeping.alike else begin
        for block in range(judged_from, -(-(start + n) // self.block_size)):
            first = block * self.block_size
            low, high = max(start, first) - first, min(start + n, first + self.block_size) - first
            draw = partial(self._draw_block, (seed, block), options)
            if keeping is not None and keeping.alike:
                needed = alike_rows(draw, condition, keeping, self.block_size, high, kept)
                part = {name: value[low:] for name, value in needed.items()}
            else:
                rows = condition and self._block_condition(condition, first + low - start, first + high - start, low)
                if keeping is None or rows is None:
                    part = {name: value[low:high] for name, value in draw(self.block_size, rows, 0).items()}
                else:
                    places = np.arange(low, high)
                    part = own_rows(draw, rows, keeping, self.block_size, places, first - start, kept)
            if block >= begin:
                parts.append(part)
                if progress:
                    progress(high - low)
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _draw_block(
        self, block: tuple[int, int], options: dict[str, Any], size: int, condition: Batch | None, attempt: int
    ) -> Batch:
        """So many examples of a block, named by its seed and its number, on the CPU; other ones at each attempt."""
        seeds = (*block, attempt) if attempt else block
        words = np.random.SeedSequence(seeds).generate_state(1, np.uint64)
        generator = torch.Generator(self.device).manual_seed(int(words[0]) % 2**63)
        if condition is not None:
            condition = {name: value.to(self.device) for name, value in condition.items()}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16_pays(self.device)):
            drawn = self.sample_block(size, condition, generator, **options)
        return {name: value.cpu() for name, value in drawn.items()}

    def _block_condition(self, condition: Batch, low: int, high: int, offset: int) -> Batch:
        """Rows low .. high − 1 of a condition, at their places in a whole block, and which places these are.

        Places before them repeat the first of them, places after them the last: what they get is not looked at.
        """
        place = torch.arange(self.block_size).sub(offset)
        index = place.clamp(0, high - low - 1)
        rows = {name: value[index + low] for name, value in condition.items()}
        return {**rows, "wanted": index == place, "row": index + low}

    def log_prob(self, batch: Batch) -> Tensor:
        """Logarithm of the probability of encoded examples, (examples,), in nats.

        Raises:
            SynthgenError: The method gives none.
        """
        raise SynthgenError(f"log_prob: {type(self).__name__} gives no probabilities of examples; table/argn does")

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
            stage.load_trained(own)

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
            data=self._train_stream.tensors,
            rate_factor=self.rate_factor,
        )
        self.latest = stage.training_step(batch, context)
        self.norms, self.rows = context.norms, context.rows
        self.samples_seen += examples

    def on_train_start(self) -> None:
        """Puts the data stream where the examples seen so far have led to, and begins the stages whose turn it is."""
        self._train_stream.load_state_dict({"position": self.samples_seen})
        flat = self.optimizers()
        remaining = iter(flat if isinstance(flat, list) else [flat])
        self._stage_optimizers = [[next(remaining) for _ in range(stage.optimizer_count)] for stage in self.stages]
        self._training_noise = torch.Generator(self.device)
        self._training_noise.manual_seed(self.seed * 1_000_003 + self.global_rank)
        if self._restored_noise is not None:
            self._restore_noise(*self._restored_noise)
        self._prepared = -1  # the stream is a new one
        self._begin_stages()

    def _restore_noise(self, device: str | None, state: Tensor) -> None:
        if device not in (None, self.device.type):
            # Generators of different devices have states of different form.
            warnings.warn(
                f"the checkpoint was saved on {device} and the run goes on on {self.device.type}: with other noise",
                stacklevel=2,
            )
            self._training_noise.manual_seed((self.seed * 1_000_003 + self.samples_seen + self.global_rank) % 2**63)
            return
        self._training_noise.set_state(state)
        if self.global_rank:
            # The checkpoint holds the first process's: the others must not draw the same noise.
            draw = torch.randint(2**62, (), generator=self._training_noise, device=self.device)
            self._training_noise.manual_seed(int(draw) + self.global_rank)

    def on_train_batch_end(self, *_: Any) -> None:
        """Begins the stages that come next, if the one before them has just ended."""
        self._begin_stages()

    @property
    def validates(self) -> bool:
        """Whether some stage has a validation figure."""
        return any(stage.validates for stage in self.stages)

    def on_validation_start(self) -> None:
        """The same noise for every validation, so that its figures compare."""
        self._validation_noise = torch.Generator(self.device).manual_seed(self.seed)
        self._validation_sums = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Hands the batch to the current stage."""
        losses = self.stage.validation_loss(batch, self._validation_noise).float()
        rows = losses.new_tensor([len(next(iter(batch.values())))])
        self._validation_sums.append(torch.cat([losses.reshape(-1) * rows, rows]))

    def on_validation_epoch_end(self) -> None:
        """Logs the current stage's figure as `val/loss`, of the rows of all processes."""
        sums = torch.stack(self._validation_sums).sum(dim=0)
        *losses, rows = self.trainer.strategy.reduce(sums, reduce_op="sum")
        found = self.stage.validated(torch.stack(losses) / rows, int(rows))
        self.log("val/loss", found.sum().float(), logger=False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the position in training."""
        checkpoint["synthgen"] = {
            "format": _STATE_FORMAT,
            "samples_seen": self.samples_seen,
            "budget": self.budget,
            "solved": self._solved,
            "noise": self._training_noise.get_state(),
            "device": self._training_noise.device.type,
            "rate_factor": self.rate_factor,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Reads what `on_save_checkpoint` added.

        Raises:
            SynthgenError: Another version of synthgen wrote it, in a way that this one cannot go on from.
        """
        state = checkpoint.get("synthgen", {})
        if state.get("format") != _STATE_FORMAT:
            raise SynthgenError(
                f"the checkpoint: found training state of format {state.get('format')}, expected {_STATE_FORMAT}: "
                "another version of synthgen wrote it; go on with that one, or start anew with resume=false"
            )
        self.samples_seen, self.budget = state["samples_seen"], state["budget"]
        self._solved = state["solved"]
        self._restored_noise = (state.get("device"), state["noise"])
        self.rate_factor = state["rate_factor"]

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

    def _begin_stages(self) -> None:
        """Fits closed forms whose turn has come, and lets a stage that begins prepare its batches."""
        self._solve_closed_forms()
        index = self._stage_index()
        if index != self._prepared:
            self.stages[index].prepare(self._train_stream.tensors)
            self._prepared = index

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


def bf16_pays(device: torch.device) -> bool:
    """Whether matrix products in bf16 are faster than in fp32 on a device: it has instructions for them."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
