"""Small backbones for small images. Any other module that answers (b, m) rows serves as well."""

from __future__ import annotations

from ..errors import InvalidInput
from .tensors import Tensor, functional, nn


class SmallCNN(nn.Module):
    """Three convolutions with pooling between them: seconds on a CPU for 28 x 28 images.

    Args:
        channels: Of the image: 1 for grey, 3 for colours.
        width: Channels of the first convolution; the others have two and four times as many.
    Attributes:
        dim: Length of a row, 4 width.
    """

    def __init__(self, channels: int = 1, width: int = 16) -> None:
        super().__init__()
        _sizes("SmallCNN", channels, width)
        self.dim = 4 * width
        self.layers = nn.Sequential(
            *_stage(channels, width),
            nn.MaxPool2d(2),
            *_stage(width, 2 * width),
            nn.MaxPool2d(2),
            *_stage(2 * width, 4 * width),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(b, channels, h, w) images of 4 pixels or more a side to (b, dim) rows."""
        return self.layers(images).mean((2, 3))


class SmallResNet(nn.Module):
    """The residual network for 32 x 32 images: three stages of blocks of two convolutions.

    Args:
        channels: Of the image.
        blocks: In each stage: 3 for ResNet-20, 5 for ResNet-32.
        width: Channels of the first stage; each later one has twice as many.
    Attributes:
        dim: Length of a row, 4 width.
    Source: He et al. 2016 (section 4.2, with shortcuts that pad with zeros). Departs from it:
        nothing; the classifier is the head's.
    """

    def __init__(self, channels: int = 3, blocks: int = 3, width: int = 16) -> None:
        super().__init__()
        _sizes("SmallResNet", channels, width, blocks)
        self.dim = 4 * width
        layers = _stage(channels, width)
        made = width
        for stage in range(3):
            wide = width * 2**stage
            for block in range(blocks):
                layers.append(Residual(made, wide, stride=2 if stage and not block else 1))
                made = wide
        self.layers = nn.Sequential(*layers)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """(b, channels, h, w) images to (b, dim) rows."""
        return self.layers(images).mean((2, 3))


class Residual(nn.Module):
    """Two convolutions beside a shortcut that costs nothing.

    Args:
        channels: That come in.
        wide: That go out, at least as many.
        stride: Of the first convolution and of the shortcut.
    """

    def __init__(self, channels: int, wide: int, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.more = stride, wide - channels
        self.first = nn.Sequential(*_stage(channels, wide, stride))
        self.second = nn.Sequential(
            nn.Conv2d(wide, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide)
        )

    def forward(self, rows: Tensor) -> Tensor:
        """(b, channels, h, w) to (b, wide, h / stride, w / stride)."""
        kept = rows[:, :, :: self.stride, :: self.stride]
        kept = functional.pad(kept, (0, 0, 0, 0, 0, self.more))
        return functional.relu(self.second(self.first(rows)) + kept)


def _stage(channels: int, wide: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, wide, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(wide), nn.ReLU()]


def _sizes(owner: str, *sizes: int) -> None:
    if min(sizes) < 1:
        raise InvalidInput(owner, "sizes from 1", str(sizes))
