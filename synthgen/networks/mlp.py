"""A plain multilayer perceptron."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, leaky_relu

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
        codes: How many binary features there are besides, of which an example has few: it names those that it has, and
            the first layer looks up what a product with ones and zeros would give. No later layer sees them.
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
        codes: int = 0,
    ) -> None:
        super().__init__()
        if codes and not widths:
            raise ValueError("codes are seen by the first hidden layer, and there is none")
        self.dense = dense
        self.slope = slope
        self.dropout = dropout
        self.hidden = nn.ModuleList()
        self.norms = nn.ModuleList()
        features = inputs
        for width in widths:
            self.hidden.append(nn.Linear(features, width))
            if batch_norm:
                self.norms.append(nn.BatchNorm1d(width))
            features = features + width if dense else width
        self.output = nn.Linear(features, outputs)
        self.codes = nn.EmbeddingBag(codes, widths[0], mode="sum") if codes else None
        if self.codes is not None:
            bound = (inputs + codes) ** -0.5  # as the columns of a linear layer
            nn.init.uniform_(self.codes.weight, -bound, bound)

    def forward(self, x: Tensor, codes: Tensor | None = None) -> Tensor:
        """(batch, inputs), and (batch, any number) of codes where there are some, to (batch, outputs)."""
        for i in range(len(self.hidden)):
            hidden = leaky_relu(self._layer(i, x, codes), self.slope)
            hidden = dropout(hidden, self.dropout, self.training)
            # In the precision of the layer, or autocast would widen all of it and narrow it again.
            x = torch.cat([hidden, x.to(hidden.dtype)], dim=1) if self.dense else hidden
        return self.output(x)

    def input_gradient(self, x: Tensor, codes: Tensor | None = None) -> Tensor:
        """Gradient of a single output with respect to x, itself differentiable with respect to the weights.

        Around x the network is linear, so this is a product of the weights of those features that are active: the
        second derivatives that autograd would work out beside it are all zero.

        Args:
            x: (batch, inputs).
            codes: As in `forward`.

        Returns:
            (batch, inputs).

        Raises:
            ValueError: The network has several outputs, or layers that are dense or normalised over the batch.
        """
        if self.output.out_features != 1 or self.dense or len(self.norms):
            raise ValueError(
                "input gradients are those of one output, of layers neither dense nor normalised over the batch"
            )
        active = []
        for i in range(len(self.hidden)):
            hidden = self._layer(i, x, codes)
            active.append(dropout(torch.where(hidden > 0, 1.0, self.slope), self.dropout, self.training))
            x = hidden * active[i]
        gradient = self.output.weight.expand(len(x), -1)
        for i in reversed(range(len(self.hidden))):
            gradient = (gradient * active[i]) @ self.hidden[i].get_parameter("weight")
        return gradient

    def _layer(self, i: int, x: Tensor, codes: Tensor | None) -> Tensor:
        """A hidden layer before its activation."""
        hidden = self.hidden[i](x)
        if i == 0 and self.codes is not None:
            hidden = hidden + self.codes(codes).to(hidden.dtype)
        return self.norms[i](hidden) if self.norms else hidden
