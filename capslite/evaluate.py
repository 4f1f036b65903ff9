"""Test a trained network: ``python -m capslite.evaluate RUN``.

Prints the test error with its 95% interval and the pairs of classes most often taken for one another, and
writes RUN/predictions.csv: for every test image its label, the prediction, and the length of each capsule.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from capslite.backend import DEVICES, describe_device, resolve_device, to_device, to_numpy
from capslite.cli import run_command
from capslite.data import Batches, Dataset, load_dataset
from capslite.models import CapsNet, CapsNetConfig
from capslite.storage import load_checkpoint, read_json, write_rows

BATCH_SIZE = 100


def capsule_lengths(net: CapsNet, dataset: Dataset) -> np.ndarray:
    """Return the lengths (N, J) of the class capsules for every image of a data set."""
    batches = Batches(dataset, BATCH_SIZE, device=net.device)
    lengths = [to_numpy(net.forward(images).lengths) for images, _ in batches.in_order()]
    return np.concatenate([np.empty((0, net.config.classes), net.dtype), *lengths])


def error_percent(lengths: np.ndarray, labels: np.ndarray) -> float:
    """Return how many percent of the images have another longest capsule than their label's."""
    return 100.0 * float(np.mean(lengths.argmax(axis=1) != labels))


def wilson_interval(wrong: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95% interval, in percent, of the error rate behind ``wrong`` of ``count`` (Wilson 1927)."""
    rate, slack = wrong / count, z * z / count
    centre = (rate + slack / 2) / (1 + slack)
    spread = (slack * (rate * (1 - rate) + slack / 4)) ** 0.5 / (1 + slack)
    return 100 * max(centre - spread, 0.0), 100 * min(centre + spread, 1.0)


def load_run(
    run: Path, *, device: str = "auto", threads: int | None = None, checkpoint: str = "checkpoint.npz"
) -> tuple[CapsNet, dict[str, Any]]:
    """Return the trained network of a run directory, and the options it was trained with.

    Raises UserError if the directory is none or its files are damaged.
    """
    record = read_json(run / "config.json")
    model = CapsNetConfig.from_dict(record["model"])
    net = CapsNet(model, device=resolve_device(device), threads=threads)
    arrays, _ = load_checkpoint(run / checkpoint)
    net.load(arrays)
    return net, record["options"]


def report(lengths: np.ndarray, dataset: Dataset) -> str:
    """Return the error with its interval, and the five worst pairs, as text."""
    predictions = lengths.argmax(axis=1)
    wrong = predictions != dataset.labels
    low, high = wilson_interval(int(wrong.sum()), len(dataset))
    lines = [
        f"error on the {dataset.name}: {100 * wrong.mean():.2f}% ({wrong.sum()} of {len(dataset):,} wrong, "
        f"95% interval {low:.2f} to {high:.2f}%)"
    ]
    pairs = Counter(zip(dataset.labels[wrong].tolist(), predictions[wrong].tolist(), strict=True))
    for (label, prediction), count in pairs.most_common(5):
        lines.append(f"  {dataset.class_names[label]} taken for {dataset.class_names[prediction]}: {count}")
    return "\n".join(lines)


def save_predictions(path: Path, lengths: np.ndarray, dataset: Dataset) -> None:
    """Write one row an image: index, label, predicted class, and the length of each class capsule."""
    predictions = lengths.argmax(axis=1)
    columns = [f"length_{name}" for name in dataset.class_names]
    rows = [
        {"index": n, "label": int(label), "predicted": int(predictions[n])} | dict(zip(columns, row, strict=True))
        for n, (label, row) in enumerate(zip(dataset.labels, lengths.tolist(), strict=True))
    ]
    write_rows(path, rows)


def reconstruct_longest(net: CapsNet, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what the decoder draws from the longest capsule of images (N, H, W, C), and its class (N,)."""
    capsules, lengths, _ = net.forward(to_device(images, net.device))
    predictions = to_numpy(lengths).argmax(axis=1)
    mask = np.eye(net.config.classes, dtype=net.dtype)[predictions]
    return to_numpy(net.reconstruct(capsules, to_device(mask, net.device))), predictions


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m capslite.evaluate", description=__doc__.split("\n\n")[1])
    parser.add_argument("run", type=Path, help="a run directory, as python -m capslite.train leaves it")
    parser.add_argument("--data-dir", help="where the data set's files are, if not where the training found them")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to compute (default: auto)")
    parser.add_argument("--threads", type=int, help="processor threads (default: one a core)")
    parser.add_argument(
        "--best", action="store_true", help="take best.npz, chosen on held-out images, not the last epoch"
    )
    options = parser.parse_args(arguments)
    net, trained = load_run(
        options.run,
        device=options.device,
        threads=options.threads,
        checkpoint="best.npz" if options.best else "checkpoint.npz",
    )
    print(f"device: {describe_device(net.device)}")
    _, test_set = load_dataset(trained["dataset"], options.data_dir or trained["data_dir"])
    lengths = capsule_lengths(net, test_set)
    print(report(lengths, test_set))
    save_predictions(options.run / "predictions.csv", lengths, test_set)
    print(f"predictions: {options.run / 'predictions.csv'}")


if __name__ == "__main__":
    run_command(main)
