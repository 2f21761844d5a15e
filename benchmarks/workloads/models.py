"""The models of the training steps, each a function of the library that it is built with."""

from __future__ import annotations

from typing import Any


def policy(lib: Any) -> Any:
    """Four observations, two layers of 64, two actions: CartPole's network."""
    nn = lib.nn
    return nn.Sequential(
        nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2)
    )


def mlp(lib: Any) -> Any:
    """784-256-128-10."""
    nn = lib.nn
    return nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    )


def lenet(lib: Any) -> Any:
    """LeNet-5 (LeCun et al. 1998) with ReLU and maxima: (B, 1, 28, 28) -> (B, 10)."""
    nn = lib.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def residual_block(lib: Any) -> Any:
    """The class of ResNet's block of two 3x3 convolutions (He et al. 2016, figure 2)."""
    nn, F = lib.nn, lib.nn.functional

    class Block(nn.Module):
        def __init__(self, i: int, o: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(i, o, 3, stride=stride, padding=1, bias=False)
            self.conv2 = nn.Conv2d(o, o, 3, padding=1, bias=False)
            self.norm1, self.norm2 = nn.BatchNorm2d(o), nn.BatchNorm2d(o)
            self.short: Any = nn.Identity()
            if stride != 1 or i != o:
                self.short = nn.Sequential(
                    nn.Conv2d(i, o, 1, stride=stride, bias=False), nn.BatchNorm2d(o)
                )

        def forward(self, x: Any) -> Any:
            y = F.relu(self.norm1(self.conv1(x)))
            return F.relu(self.norm2(self.conv2(y)) + self.short(x))

    return Block


def resnet(lib: Any) -> Any:
    """ResNet-8 for CIFAR (He et al. 2016, section 4.2, n = 1): (B, 3, 32, 32) -> (B, 10)."""
    nn, Block = lib.nn, residual_block(lib)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        Block(16, 16, 1),
        Block(16, 32, 2),
        Block(32, 64, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def unet(lib: Any) -> Any:
    """Two levels down and up with skips (Ronneberger et al. 2015): (B, 3, H, W) -> (B, 3, H, W)."""
    nn = lib.nn

    def pair(i: int, o: int) -> Any:
        return nn.Sequential(
            nn.Conv2d(i, o, 3, padding=1),
            nn.GroupNorm(4, o),
            nn.SiLU(),
            nn.Conv2d(o, o, 3, padding=1),
            nn.SiLU(),
        )

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down1, self.down2, self.middle = pair(3, 16), pair(16, 32), pair(32, 64)
            self.pool = nn.MaxPool2d(2)
            self.up2, self.up1 = (
                nn.ConvTranspose2d(64, 32, 2, stride=2),
                nn.ConvTranspose2d(32, 16, 2, stride=2),
            )
            self.join2, self.join1 = pair(64, 32), pair(32, 16)
            self.last = nn.Conv2d(16, 3, 1)

        def forward(self, x: Any) -> Any:
            a = self.down1(x)
            b = self.down2(self.pool(a))
            c = self.middle(self.pool(b))
            b = self.join2(lib.cat([self.up2(c), b], 1))
            return self.last(self.join1(lib.cat([self.up1(b), a], 1)))

    return UNet()


def gpt(lib: Any, layers: int, width: int, vocab: int = 96, context: int = 128) -> Any:
    """A pre-norm decoder with heads of 32 (Radford et al. 2019).

    `model(codes)` is (B, T) -> (B, T, vocab). `model(codes, past)` continues after the keys and
    values in the list `past`, one pair a block, and puts the longer ones there.
    """
    nn, F = lib.nn, lib.nn.functional
    heads = width // 32

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any, past: Any = None) -> tuple[Any, Any]:
            B, T, _ = x.shape
            qkv = self.qkv(self.norm1(x)).view(B, T, 3, heads, 32)
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            if past is not None:
                k, v = lib.cat([past[0], k], 2), lib.cat([past[1], v], 2)
            a = F.scaled_dot_product_attention(q, k, v, is_causal=past is None)
            x = x + self.proj(a.transpose(1, 2).reshape(B, T, width))
            x = x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))
            return x, (k, v)

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Embedding(vocab, width)
            self.position = nn.Embedding(context, width)
            self.blocks = nn.ModuleList([Block() for _ in range(layers)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocab, bias=False)

        def forward(self, codes: Any, past: list | None = None) -> Any:
            start = past[0][0].shape[2] if past else 0
            x = self.token(codes) + self.position(lib.arange(start, start + codes.shape[1]))
            pairs = []
            for i, block in enumerate(self.blocks):
                x, pair = block(x, past[i] if past else None)
                pairs.append(pair)
            if past is not None:
                past[:] = pairs
            return self.head(self.norm(x))

    return GPT()


def lstm(lib: Any, vocab: int = 96) -> Any:
    """A character model: (B, T) -> (B, T, vocab)."""
    nn = lib.nn

    class CharLSTM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Embedding(vocab, 64)
            self.rnn = nn.LSTM(64, 128, batch_first=True)
            self.head = nn.Linear(128, vocab)

        def forward(self, codes: Any) -> Any:
            return self.head(self.rnn(self.token(codes))[0])

    return CharLSTM()


def vae(lib: Any) -> Any:
    """784-256-20-256-784 (Kingma and Welling 2014).

    `model(x, noise)` -> logits, mean, log variance. The noise is an argument, so that every library
    gets the same.
    """
    nn = lib.nn

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 40))
            self.decoder = nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 784))

        def forward(self, x: Any, noise: Any) -> tuple[Any, Any, Any]:
            mean, log_variance = self.encoder(x).chunk(2, -1)
            return self.decoder(mean + noise * (log_variance / 2).exp()), mean, log_variance

    return VAE()


def moe(lib: Any, width: int = 64, experts: int = 8) -> Any:
    """A block of eight gated experts, the best two for every token (Shazeer et al. 2017)."""
    nn, F = lib.nn, lib.nn.functional

    class MoE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.router = nn.Linear(width, experts, bias=False)
            self.experts = nn.ModuleList(
                [
                    nn.Sequential(nn.Linear(width, 128), nn.GELU(), nn.Linear(128, width))
                    for _ in range(experts)
                ]
            )

        def forward(self, x: Any) -> Any:  # (tokens, width)
            weights, chosen = lib.topk(F.softmax(self.router(x), -1), 2, -1)
            weights = weights / weights.sum(-1, keepdim=True)
            y = lib.zeros_like(x)
            for i, expert in enumerate(self.experts):
                rows, places = lib.where(chosen == i)
                y = y.index_add(0, rows, expert(x[rows]) * weights[rows, places][:, None])
            return x + y

    return MoE()
