"""A plain multilayer perceptron."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["MLP"]


class MLP(nn.Module):
    """Hidden layers of given widths and a linear output.

    Args:
        inputs: Features in.
        outputs: Features out.
        widths: Features of each hidden layer.
        batch_norm: Whether each hidden layer's features are normalised over the batch (Ioffe and Szegedy, 2015).
        dense: Whether each hidden layer's output stands beside its input instead of in its place, so that the output
            layer sees every layer and the inputs too (Huang et al., 2017).
        slope: Of the activation below zero: 0 is ReLU, 0.2 the leaky one of GANs' discriminators.
        dropout: Share of hidden features dropped while training.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: Sequence[int] = (256, 256),
        batch_norm: bool = False,
        dense: bool = False,
        slope: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dense = dense
        self.hidden = nn.ModuleList()
        features = inputs
        for width in widths:
            layer: list[nn.Module] = [nn.Linear(features, width)]
            if batch_norm:
                layer.append(nn.BatchNorm1d(width))
            layer.append(nn.LeakyReLU(slope) if slope else nn.ReLU())
            if dropout:
                layer.append(nn.Dropout(dropout))
            self.hidden.append(nn.Sequential(*layer))
            features = features + width if dense else width
        self.output = nn.Linear(features, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs)."""
        for layer in self.hidden:
            hidden = layer(x)
            # In the precision of the layer, or autocast would widen all of it and narrow it again.
            x = torch.cat([hidden, x.to(hidden.dtype)], dim=1) if self.dense else hidden
        return self.output(x)
