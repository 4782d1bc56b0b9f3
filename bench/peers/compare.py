"""Sinter beside PyTorch, alternated in one run: medians of each round, and ratios of the medians over rounds.

    python3 -m venv ENV && ENV/bin/pip install torch numpy          # never a dependency of Sinter
    ENV/bin/python bench/peers/compare.py --sinter build/sinter --model char|batch|long|124m|124m-long [--rounds 5]
    ... --device cuda --dtype f32|tf32|bf16|f16 --model char|124m-gpu      on a GPU, with torch.compile's CUDA graphs, too

The environment is cleared of OPENBLAS_*; PyTorch gets OMP_NUM_THREADS and OMP_PROC_BIND. The barrier latency (100 ns:
the two cores share a cache; 250-500 ns: they do not) is printed with every round: compare rounds of one state only.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

SHAPES = {  # layers, heads, width, batch, block, vocabulary, bias, steps a round
    "char": (4, 4, 128, 12, 64, 65, False, 150),
    "batch": (4, 4, 128, 128, 64, 65, False, 20),
    "long": (4, 4, 128, 4, 1024, 65, False, 12),
    "124m": (12, 12, 768, 4, 64, 50257, True, 5),
    "124m-long": (12, 12, 768, 1, 1024, 50257, True, 2),
    "124m-gpu": (12, 12, 768, 32, 1024, 50304, False, 8),  # nanoGPT's own: 50257 symbols, padded, no bias
}
GPU_STEPS = {"char": 2000, "batch": 500, "long": 500}  # a round, where it is not the shape's own number
PRECISION = {"f32": [], "tf32": ["--tf32=True"], "bf16": ["--dtype=bfloat16"],
             "f16": ["--dtype=float16"]}


def environment(threads):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    return {**kept, "OMP_NUM_THREADS": str(threads), "OMP_PROC_BIND": "true"}


class Torch:
    def __init__(self, shape, a, compiled, mode="default"):
        layers, heads, width, batch, block, vocab, bias, _ = shape
        script = pathlib.Path(__file__).with_name("torch_gpt.py")
        command = [sys.executable, str(script), f"--layers={layers}", f"--heads={heads}", f"--width={width}",
                   f"--batch={batch}", f"--block={block}", f"--vocab={vocab}", f"--threads={a.threads}",
                   f"--device={a.device}", f"--dtype={a.dtype}", f"--mode={mode}"]
        command += ["--bias"] * bias + ["--compile"] * compiled
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL, env=environment(a.threads))
        ready = self.process.stdout.readline().strip()
        if not ready:
            raise RuntimeError("does not run")
        print(ready + (f" compile, {mode}" if compiled else " eager"), flush=True)

    def run(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


class Sinter:
    def __init__(self, binary, shape, a, level, folder):
        layers, heads, width, batch, block, vocab, bias, _ = shape
        tokens = os.path.join(folder, "train.bin")
        if not os.path.exists(tokens):
            with open(tokens, "wb") as file:
                file.write(b"".join((i * 7919 % vocab).to_bytes(2, "little") for i in range(200000)))
        self.command = [binary, "train", f"--train_bin={tokens}", f"--out_dir={folder}/out", f"--device={a.device}",
                        "--eval_interval=0", "--log_interval=0", "--gradient_accumulation_steps=1",
                        f"--n_layer={layers}", f"--n_head={heads}", f"--n_embd={width}", f"--batch_size={batch}",
                        f"--block_size={block}", f"--vocab_size={vocab}", f"--bias={bias}", "--dropout=0.0",
                        f"--threads={a.threads}", f"--fuse={level}", "--learning_rate=1e-4"]
        self.command += PRECISION[a.dtype] if a.device == "cuda" else []
        self.environment = environment(a.threads)
        self.share = 0.0
        self.metrics = f"{folder}/out/metrics.jsonl" if a.device == "cuda" else None

    def run(self, steps):
        out = subprocess.run(self.command + [f"--max_iters={steps}"], capture_output=True, text=True,
                             env=self.environment, check=True).stdout
        self.share = float(re.search(r"mfu ([0-9.-]+)% of this device", out).group(1))
        if self.metrics:  # several steps are under way: their mean, behind the first quarter
            with open(self.metrics, encoding="utf-8") as file:
                times = [r["ms"] for r in map(json.loads, file) if "ms" in r]
            return statistics.mean(times[len(times) // 4 :])
        return float(re.search(r"median ([0-9.]+) ms", out).group(1))


def barrier(binary):
    out = subprocess.run([binary, "info"], capture_output=True, text=True, check=True).stdout
    return re.search(r"barrier +(\d+) ns", out).group(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sinter", default="build/sinter")
    parser.add_argument("--model", choices=SHAPES, default="char")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=PRECISION, default="f32")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    a = parser.parse_args()
    shape, binary = SHAPES[a.model], os.path.abspath(a.sinter)
    steps = GPU_STEPS.get(a.model, shape[-1]) if a.device == "cuda" else shape[-1]
    peers = {"torch eager": (False, "default")}
    if not a.no_compile:
        peers["torch.compile"] = (True, "default")
        if a.device == "cuda":
            peers["torch.compile, graphs"] = (True, "reduce-overhead")
    with tempfile.TemporaryDirectory() as folder:
        runs = {}
        for name, (compiled, mode) in peers.items():
            try:
                runs[name] = Torch(shape, a, compiled, mode)
            except RuntimeError as error:
                print(f"{name}: {error}", flush=True)
        for level in ("op", "all"):
            runs[f"sinter {level}"] = Sinter(binary, shape, a, level, folder)
        measure(a, runs, steps, binary)


def measure(a, runs, steps, binary):
    times = {name: [] for name in runs}
    digits = 4 if a.device == "cuda" else 2
    for _ in range(a.rounds):
        line = []
        for name, run in runs.items():
            times[name].append(run.run(steps))
            line.append(f"{name} {times[name][-1]:.{digits}f} ms")
        end = "" if a.device == "cuda" else f", barrier {barrier(binary)} ns"
        print(", ".join(line) + end, flush=True)
    best = statistics.median(times["sinter all"])
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:22} median {median:9.{digits}f} ms   {median / best:5.2f} x the time of sinter all")
    for name in ("sinter op", "sinter all"):
        peak = "the f32 peak of the datasheet" if a.device == "cuda" else "the measured peak"
        print(f"{name}: mfu {runs[name].share:.1f}% of {peak} by nanoGPT's formula (last round)")


if __name__ == "__main__":
    main()
