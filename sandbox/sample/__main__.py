"""Writes the sample to a folder: `python -m sandbox.sample --prospects 2000 --out DIR`."""

from __future__ import annotations

import argparse
from pathlib import Path

from sandbox.sample.files import write_document
from sandbox.sample.generator import generate


def main() -> None:
    """Write prospects.jsonl, prospects.csv, crm.json and expected.json, and print the balance to expect."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.sample", description=__doc__)
    parser.add_argument("--prospects", type=int, default=2000, help="how many (default: 2000)")
    parser.add_argument("--seed", type=int, default=1, help="another seed gives other people (default: 1)")
    parser.add_argument("--out", type=Path, required=True, help="folder, made when it is not there")
    options = parser.parse_args()
    sample = generate(seed=options.seed, prospects=options.prospects)
    folder: Path = options.out
    folder.mkdir(parents=True, exist_ok=True)
    sample.write_json(folder / "prospects.jsonl")
    sample.write_csv(folder / "prospects.csv")
    write_document(folder / "crm.json", sample.crm)
    sample.write_expected(folder / "expected.json")
    print(" ".join(f"{outcome}={count}" for outcome, count in sample.expected_balance.items()))


if __name__ == "__main__":
    main()
