"""CTGAN: a conditional GAN over the columns of a table (Xu et al., 2019)."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from synthgen.errors import SynthgenError
from synthgen.layout import TableLayout
from synthgen.models.adversarial import ADVERSARIAL_LOSSES, AdversarialStage, gradient_penalty
from synthgen.models.base import Model
from synthgen.models.stages import EMA, Batch, Optimization, StepContext
from synthgen.models.table.features import RowFeatures, features_stage
from synthgen.models.table.rejection import by_rejection
from synthgen.networks.ragged import RaggedLogits

__all__ = ["CTGAN"]


class CTGAN(Model):
    """A Wasserstein GAN with gradient penalty whose generator is told one cell of the row that it shall make.

    In training that cell is drawn column by column, and within a column by the logarithm of a code's frequency, so that
    rare codes are learned too; the real row beside it is one that has the cell ("training-by-sampling", section 4.3).
    The discriminator judges several rows at once ("PacGAN", Lin et al., 2018), which shows it a generator that
    repeats itself. Unlike the paper's, numbers are standard normal by rank and not modes of a mixture.

    Conditions are kept by rejection: the generator is told the rarest of the wanted cells that it knows, and rows are
    drawn until all cells are as wanted.

    Args:
        layout: What a row is made of.
        network: (inputs, outputs, …) to a network such as `MLP`.
        generator_optimization: How the generator is fitted.
        discriminator_optimization: How the discriminator is.
        ema: Average of the generator that sampling uses.
        latent: Numbers of noise that a row is made from.
        pac: Rows that the discriminator judges together.
        penalty: Weight of the gradient penalty, λ of Gulrajani et al. (2017).
        temperature: Of the generator's nearly one-hot codes.
        dropout: Share of the discriminator's hidden features dropped in training.
    """

    conditioning = "rejection"

    def __init__(
        self,
        layout: TableLayout,
        network: Callable[..., nn.Module],
        generator_optimization: Optimization,
        discriminator_optimization: Optimization,
        ema: EMA,
        latent: int = 128,
        pac: int = 10,
        penalty: float = 10.0,
        temperature: float = 0.2,
        dropout: float = 0.0,
    ) -> None:
        features = features_stage(layout)
        rows = cast(RowFeatures, features.module)
        width, told = rows.width, rows.blocks.total
        adversarial = AdversarialStage(
            RowGenerator(network(latent, width, batch_norm=True, dense=True, codes=told), latent, rows.numbers),
            network(pac * width, 1, slope=0.2, dropout=dropout, codes=pac * told),
            self._generate,
            self._discriminator_loss,
            self._generator_loss,
            generator_optimization,
            discriminator_optimization,
            ema,
            score=self._score,
        )
        super().__init__([features, adversarial])
        self.layout = layout
        self.pac = pac
        self.penalty = penalty
        self.temperature = temperature
        self._rows_by_code: RowsByCode | None = None

    def sample_block(self, size: int, condition: Batch | None, generator: torch.Generator, **_: Any) -> Batch:
        """Rows by one pass of the generator, or by many where a condition has to be met; see `Model.sample_block`."""
        if condition is None:
            return self._draw(size, None, generator)
        assert self.acceptance is not None
        return by_rejection(lambda wishes: self._draw(size, wishes, generator), condition, self.acceptance)

    def on_train_end(self) -> None:
        """Lets go of the training rows, which shall not go where the model goes."""
        self._rows_by_code = None

    @property
    def _features(self) -> RowFeatures:
        return cast(RowFeatures, self.stages[0].trained)

    def _draw(self, size: int, wishes: Batch | None, generator: torch.Generator) -> Batch:
        features = self._features
        told = None
        if features.blocks.total:
            block = torch.randint(len(features.blocks.sizes), (size,), generator=generator, device=generator.device)
            code = features.blocks.sample(features.shares.log().expand(size, -1), block, generator)
            if wishes is not None:
                block, code = self._rarest(wishes, block, code)
            told = features.blocks.offsets[block] + code
        # In full precision: bf16 has 128 values between 1 and 2, and a column of numbers would show it.
        with torch.autocast(generator.device.type, enabled=False):
            numbers, logits = self.stages[1].trained(size, told, generator)
        return features.to_batch(numbers, features.blocks.draw(logits, generator))

    def _rarest(self, wishes: Batch, block: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        """Of the wanted cells the rarest that the generator can be told, and where there is none what was drawn."""
        wanted, known = self._features.block_codes(wishes), self._features.known_blocks(wishes["categorical_known"])
        share = self._features.shares[wanted + self._features.blocks.offsets].masked_fill(~known, 2.0)
        rarest, tells = share.argmin(dim=1), known.any(dim=1)
        return torch.where(tells, rarest, block), torch.where(tells, wanted.gather(1, rarest[:, None])[:, 0], code)

    def _generate(self, generator: "RowGenerator", batch: Batch, context: StepContext) -> Batch:
        """Features of rows that the generator makes, the cells it was told, and real rows that have those cells."""
        size = len(batch["categorical"]) // self.pac * self.pac
        if not size:
            raise SynthgenError(f"data.batch_size: found {len(batch['categorical'])}, expected at least pac={self.pac}")
        cells = self._cells(size, context)
        numbers, logits = generator(size, cells.get("told"), context.generator)
        codes = self._features.blocks.relaxed(logits, self.temperature, context.generator)
        return {"features": torch.cat([numbers.float(), codes], dim=1), "logits": logits, **cells}

    def _discriminator_loss(self, discriminator: Any, batch: Batch, generated: Batch, context: StepContext) -> Tensor:
        size = len(generated["features"])
        rows = {name: tensor[:size] for name, tensor in batch.items()}
        if "row" in generated:
            rows = {name: tensor[generated["row"]] for name, tensor in context.data.items()}
        real = self._packed(self._of_rows(rows, context.generator))
        fake = self._packed(generated["features"])
        told = self._packed_told(generated)
        scores = discriminator(torch.cat([real, fake]), None if told is None else told.repeat(2, 1)).float()
        loss = ADVERSARIAL_LOSSES["wasserstein"].discriminator(*scores.split(len(real)))
        penalty = gradient_penalty(lambda rows: discriminator.input_gradient(rows, told), real, fake, context.generator)
        return loss + self.penalty * penalty

    def _generator_loss(self, discriminator: nn.Module, batch: Batch, generated: Batch, context: StepContext) -> Tensor:
        scores = discriminator(self._packed(generated["features"]), self._packed_told(generated)).float()
        loss = ADVERSARIAL_LOSSES["wasserstein"].generator(scores)
        if "told" not in generated:
            return loss
        # The cell that the generator was told shall be in the row that it makes.
        logits = self._features.blocks.column(generated["logits"], generated["block"])
        return loss + nn.functional.cross_entropy(logits, generated["code"])

    def _score(self, discriminator: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Rows are judged `pac` at a time, each with the code of a block that is drawn evenly, as in training."""
        size = len(batch["categorical"]) // self.pac * self.pac
        rows = {name: tensor[:size] for name, tensor in batch.items()}
        told: Batch = {}
        blocks = self._features.blocks
        if blocks.total:
            block = torch.randint(len(blocks.sizes), (size,), generator=generator, device=generator.device)
            code = self._features.block_codes(rows).gather(1, block[:, None])[:, 0]
            told = {"told": blocks.offsets[block] + code}
        return discriminator(self._packed(self._of_rows(rows, generator)), self._packed_told(told))

    def _of_rows(self, rows: Batch, generator: torch.Generator) -> Tensor:
        """(size, width) features of encoded rows, as the discriminator sees them."""
        codes = self._features.blocks.one_hot(self._features.block_codes(rows))
        return torch.cat([self._features.to_numbers(rows, generator), codes], dim=1)

    def _packed(self, rows: Tensor) -> Tensor:
        return rows.reshape(len(rows) // self.pac, -1)

    def _packed_told(self, generated: Batch) -> Tensor | None:
        """(batch / pac, pac) codes, of which each place among the rows that are judged together has its own."""
        if "told" not in generated:
            return None
        place = torch.arange(self.pac, device=generated["told"].device)
        return self._packed(generated["told"]) + place * self._features.blocks.total

    def _cells(self, size: int, context: StepContext) -> Batch:
        """What the generator is told of each row of a batch; nothing where a table has numbers alone."""
        if not self._features.blocks.total:
            return {}
        if self._rows_by_code is None or self._rows_by_code.data is not context.data:
            self._rows_by_code = RowsByCode(self._features, context.data)
        cells = self._rows_by_code.draw(size, context.generator)
        context.rows.append(cells["row"])
        return cells


class RowGenerator(nn.Module):
    """Noise and a cell of a row to the row's numbers and the logits of its codes.

    Args:
        network: (latent), and the code that is told where there is one, to numbers and logits, side by side.
        latent: Numbers of noise.
        numbers: Numbers of a row.
    """

    def __init__(self, network: nn.Module, latent: int, numbers: int) -> None:
        super().__init__()
        self.network = network
        self.latent = latent
        self.numbers = numbers

    def forward(self, size: int, told: Tensor | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Rows from new noise.

        Args:
            size: How many.
            told: (size,) one code each, counted over all blocks, or None where there are no blocks.
            generator: Source of the noise.

        Returns:
            (size, numbers) and (size, sum of cardinalities).
        """
        noise = torch.randn(size, self.latent, generator=generator, device=generator.device)
        output = self.network(noise, None if told is None else told[:, None])
        return output[:, : self.numbers], output[:, self.numbers :]


class RowsByCode:
    """Training rows sorted by the code of every block, so that a row with a wanted code is one look-up.

    Args:
        features: Says what the blocks are.
        data: All training rows, encoded, on the device.
    """

    def __init__(self, features: RowFeatures, data: Batch) -> None:
        self.data = data
        self.blocks: RaggedLogits = features.blocks
        codes = features.block_codes(data)
        self.order = codes.argsort(dim=0, stable=True)
        self.counts = torch.bincount((codes + self.blocks.offsets).flatten(), minlength=self.blocks.total)
        sizes = self.blocks.sizes
        of_block = torch.arange(len(sizes), device=codes.device).repeat_interleave(sizes)
        self.begin = self.counts.cumsum(0) - self.counts - of_block * len(codes)
        weight = (1 + self.counts.double()).log()
        total = torch.zeros(len(sizes), dtype=torch.double, device=codes.device).index_add_(0, of_block, weight)
        # Block j takes [j, j + 1): one search finds block and code at once.
        self.cumulative = (weight / total[of_block]).cumsum(0)

    def draw(self, size: int, generator: torch.Generator) -> Batch:
        """Cells by block, evenly, and by code, by the logarithm of its frequency.

        Returns:
            `block` and `code` of each cell, `told`, its code as counted over all blocks, and `row`, a training row that
            has it; all (size,).
        """
        device = generator.device
        block = torch.randint(len(self.blocks.sizes), (size,), generator=generator, device=device)
        place, within = torch.rand(2, size, generator=generator, device=device, dtype=torch.double)
        told = torch.searchsorted(self.cumulative, block + place, right=True)
        last = self.blocks.offsets[block] + self.blocks.sizes[block] - 1
        told = told.clamp(self.blocks.offsets[block], last)
        rank = self.begin[told] + (within * self.counts[told]).long()
        code = told - self.blocks.offsets[block]
        return {"block": block, "code": code, "told": told, "row": self.order[rank, block]}
