"""The peer: the same GPT training step in PyTorch, as a careful user would write it, eager or through torch.compile.

Prints one line per measured block: ms per step. Reads steps from standard input: each line "N" runs N steps and
prints their median, so that a driver can alternate it with another program in one run. On a GPU steps are not waited for
one by one, as a training loop that logs now and then does not either: the mean of N steps is printed.
"""
import argparse
import contextlib
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, width, heads, bias):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, bias=bias)
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)
        self.norm2 = nn.LayerNorm(width, bias=bias)
        self.up = nn.Linear(width, 4 * width, bias=bias)
        self.down = nn.Linear(4 * width, width, bias=bias)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (z.view(b, t, self.heads, c // self.heads).transpose(1, 2) for z in self.qkv(self.norm1(x)).split(c, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.tokens = nn.Embedding(a.vocab, a.width)
        self.positions = nn.Embedding(a.block, a.width)
        self.blocks = nn.ModuleList(Block(a.width, a.heads, a.bias) for _ in range(a.layers))
        self.norm = nn.LayerNorm(a.width, bias=a.bias)
        self.head = nn.Linear(a.width, a.vocab, bias=False)
        self.head.weight = self.tokens.weight
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, x, y):
        h = self.tokens(x) + self.positions.weight[: x.shape[1]]
        for block in self.blocks:
            h = block(h)
        logits = self.head(self.norm(h))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), y.view(-1))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--layers", type=int, default=4)
    p.add_argument("--heads", type=int, default=4)
    p.add_argument("--width", type=int, default=128)
    p.add_argument("--batch", type=int, default=12)
    p.add_argument("--block", type=int, default=64)
    p.add_argument("--vocab", type=int, default=65)
    p.add_argument("--bias", action="store_true")
    p.add_argument("--compile", action="store_true")
    p.add_argument("--mode", default="default", help="of torch.compile")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--device", default="cpu")
    p.add_argument("--dtype", choices=("f32", "tf32", "bf16", "f16"), default="f32")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1337)
    torch.set_float32_matmul_precision("high" if a.dtype == "tf32" else "highest")
    model = GPT(a).to(a.device)
    decay = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
    run = torch.compile(model, mode=a.mode) if a.compile else model
    data = torch.randint(a.vocab, (64, a.batch, a.block + 1), device=a.device)
    halves = {"bf16": torch.bfloat16, "f16": torch.float16}
    low = torch.autocast(a.device, halves[a.dtype]) if a.dtype in halves else contextlib.nullcontext()
    scaler = torch.amp.GradScaler(a.device, enabled=a.dtype == "f16")  # as nanoGPT: without f16 it does nothing
    on_gpu = a.device == "cuda"

    def step(i):
        rows = data[i % 64]
        with low:
            loss = run(rows[:, :-1].contiguous(), rows[:, 1:].contiguous())
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        return loss if on_gpu else loss.item()

    def many(steps):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for i in range(steps):
            step(i)
        torch.cuda.synchronize()
        return 1e3 * (time.perf_counter() - start) / steps

    for i in range(10 if on_gpu else 3):
        step(i)
    where = torch.cuda.get_device_name() if on_gpu else f"threads {torch.get_num_threads()}"
    print(f"ready torch {torch.__version__} {where}", flush=True)
    for line in sys.stdin:
        if on_gpu:
            print(f"{many(int(line)):.5f}", flush=True)
            continue
        times = []
        for i in range(int(line)):
            start = time.perf_counter()
            step(i)
            times.append(1e3 * (time.perf_counter() - start))
        print(f"{statistics.median(times):.3f}", flush=True)


if __name__ == "__main__":
    main()
