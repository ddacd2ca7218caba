"""The networks that published feature weights belong to; parameter names and shapes are those of the published files.

Each takes normalised images of shape (N, 3, size, size) and gives features of shape (N, D). They hold no weights until
`extractors.py` has read them from a file.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import inception

__all__ = ["CLIPImageTower", "DINOv2", "FIDInception"]

HEAD = 64  # dimensions of an attention head, in every ViT that either family has published


class FIDInception(inception.Inception3):
    """The Inception network of 2015 whose 2048 pooled features define FID (Heusel et al., 2017); images in [−1, 1].

    It differs from torchvision's in three ways: average pools leave padding out of the average, the last block takes a
    maximum instead, and there are 1008 classes. Names are those of pytorch-fid's and torch-fidelity's files.
    """

    size = 299

    def __init__(self) -> None:
        kinds = [
            inception.BasicConv2d,
            _InceptionA,
            inception.InceptionB,
            _InceptionC,
            inception.InceptionD,
            _InceptionE,
            inception.InceptionAux,
        ]
        super().__init__(num_classes=1008, aux_logits=False, inception_blocks=kinds, init_weights=False)
        self.Mixed_7c.pool = _largest

    def forward(self, images: Tensor) -> Tensor:
        """Shape (N, 2048)."""
        # Its parts are registered in the order in which they run; the classes come last and are not wanted.
        for part in list(self.children())[:-1]:
            images = part(images)
        return images.flatten(1)


class DINOv2(nn.Module):
    """The vision transformer of Oquab et al. (2024) without registers; the class token after the last norm.

    Args:
        width: Of a token: 384, 768 or 1024 for ViT-S, B and L.
        depth: Number of blocks.
        patch: Pixels a side of a patch, 14.
        grid: Patches a side that the position embedding was trained for, 37.
    """

    def __init__(self, width: int, depth: int, patch: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.size = 16 * patch  # 224 pixels for patches of 14
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, grid * grid + 1, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.blocks = nn.Sequential(*(_ScaledBlock(width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        """Shape (N, width)."""
        tokens = self.patch_embed["proj"](images)
        positions = self._positions(tokens.shape[-1])
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens.flatten(2).transpose(1, 2)], 1)
        return self.norm(self.blocks(tokens + positions)[:, 0])

    def _positions(self, grid: int) -> Tensor:
        if grid == self.grid:
            return self.pos_embed
        known = self.pos_embed[:, 1:].unflatten(1, (self.grid, self.grid)).permute(0, 3, 1, 2)
        # The tenth of a patch is in the published code, and moves every position: without it features differ.
        scale = (grid + 0.1) / self.grid
        found = functional.interpolate(known, scale_factor=(scale, scale), mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], found.flatten(2).transpose(1, 2)], 1)


class CLIPImageTower(nn.Module):
    """The vision transformer half of CLIP (Radford et al., 2021), up to the space that it shares with text.

    Args:
        width: Of a token, 768 for ViT-B.
        depth: Number of blocks.
        patch: Pixels a side of a patch.
        grid: Patches a side.
        features: Dimensions of the shared space, 512 for ViT-B.
    """

    def __init__(self, width: int, depth: int, patch: int, grid: int, features: int) -> None:
        super().__init__()
        self.size = patch * grid
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty(grid * grid + 1, width))
        self.proj = nn.Parameter(torch.empty(width, features))
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = nn.ModuleDict({"resblocks": nn.Sequential(*(_QuickBlock(width) for _ in range(depth)))})
        self.ln_post = nn.LayerNorm(width)

    def forward(self, images: Tensor) -> Tensor:
        """Shape (N, features)."""
        tokens = self.conv1(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_embedding.expand(len(tokens), 1, -1), tokens], 1)
        tokens = self.transformer["resblocks"](self.ln_pre(tokens + self.positional_embedding))
        return self.ln_post(tokens[:, 0]) @ self.proj


def _average(maps: Tensor) -> Tensor:
    return functional.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)


def _largest(maps: Tensor) -> Tensor:
    return functional.max_pool2d(maps, 3, stride=1, padding=1)


class _Repooled:
    """A torchvision block, whose last branch is pooled in another way before its convolution."""

    pool: Callable[[Tensor], Tensor] = staticmethod(_average)
    branch_pool: nn.Module

    def _forward(self, maps: Tensor) -> list[Tensor]:
        *branches, _ = super()._forward(maps)  # type: ignore[misc]
        return [*branches, self.branch_pool(self.pool(maps))]


class _InceptionA(_Repooled, inception.InceptionA):
    pass


class _InceptionC(_Repooled, inception.InceptionC):
    pass


class _InceptionE(_Repooled, inception.InceptionE):
    pass


class _ScaledBlock(nn.Module):
    """Attention and a two-layer network, each scaled a channel before it is added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})
        self.ls1, self.ls2 = (nn.ParameterDict({"gamma": nn.Parameter(torch.empty(width))}) for _ in range(2))

    def forward(self, tokens: Tensor) -> Tensor:
        qkv = self.attn["qkv"](self.norm1(tokens)).unflatten(-1, (3, self.heads, HEAD))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + self.ls1["gamma"] * self.attn["proj"](mixed)
        hidden = functional.gelu(self.mlp["fc1"](self.norm2(tokens)))
        return tokens + self.ls2["gamma"] * self.mlp["fc2"](hidden)


class _QuickBlock(nn.Module):
    """Attention and a two-layer network with x·σ(1.702 x) inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, width // HEAD, batch_first=True)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})

    def forward(self, tokens: Tensor) -> Tensor:
        seen = self.ln_1(tokens)
        tokens = tokens + self.attn(seen, seen, seen, need_weights=False)[0]
        hidden = self.mlp["c_fc"](self.ln_2(tokens))
        return tokens + self.mlp["c_proj"](hidden * torch.sigmoid(1.702 * hidden))
