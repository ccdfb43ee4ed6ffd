#!/usr/bin/env python3
"""Checks the clients on what `cargo run -p enforcer-trace --example fixture -- DIRECTORY` wrote.

    check.py DIRECTORY

Reads sealed files with the right key, fails without one and with another's, reads the plain export, and lets tshark
take the capture apart. Ends with 0 when all of it went as it should; what is missing (pyarrow, tshark) is a failure.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.compute as compute
import pyarrow.parquet as parquet

from enforcer_kms import Agent, KeyFiles, KeyUnavailable, dataset, decryption

RECORDS = 1000
REFUSED = 100


def refusal(call) -> str:
    """What a call fails with; that it does not fail is a failure."""
    try:
        call()
    except Exception as error:  # pyarrow wraps what a client raises in errors of several kinds
        return f"{type(error).__name__}: {error}"
    raise AssertionError("read without the right key")


def sealed(root: Path) -> None:
    keys = KeyFiles(root / "keys")
    red, blue = (dataset(root / "trace", keys, tenant).to_table() for tenant in ("red", "blue"))
    halves = sum(table.filter(compute.field("half")).num_rows for table in (red, blue))
    assert red.num_rows + blue.num_rows - halves // 2 == RECORDS, (red.num_rows, blue.num_rows, halves)
    assert halves == 2 * REFUSED
    assert set(red["source_identity"].to_pylist()) == {"red", "another tenant"}
    assert not any("blue" in str(row) for row in red.to_pylist())
    row = next(row for row in red.to_pylist() if row["sequence"] == 14)
    assert row["process_executable"] == "/usr/bin/curl"
    assert json.loads(row["process_arguments"]) == ["curl", "https://10.2.0.3/"]
    assert row["time"].isoformat() == "2026-11-28T04:00:00.014000+00:00"


def keys(root: Path) -> None:
    path = next((root / "trace" / "tenant=red").glob("hour=*/*.parquet"))
    refusal(lambda: parquet.read_table(path, partitioning=None))
    with tempfile.TemporaryDirectory() as other:
        # Blue's key under red's name.
        (Path(other) / "red").mkdir()
        (Path(other) / "red" / "1").write_bytes((root / "keys" / "blue" / "1").read_bytes())
        told = refusal(lambda: parquet.read_table(path, decryption_properties=decryption(KeyFiles(other))))
        assert "does not open" in told, told
    told = refusal(lambda: parquet.read_table(path, decryption_properties=decryption(KeyFiles("/nonexistent"))))
    assert "no key red/1" in told, told


def agent(root: Path) -> None:
    """With a program in the agent's place that unwraps with the same files, and with one that refuses."""
    path = next((root / "trace" / "tenant=red").glob("hour=*/*.parquet"))
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "enforcerctl"
        here = Path(__file__).resolve().parent
        program.write_text(
            f"#!{sys.executable}\n"
            "import base64, sys\n"
            f"sys.path.insert(0, {str(here)!r})\n"
            "from enforcer_kms import KeyFiles\n"
            "assert sys.argv[1:4:2] == ['trace', '--master-key-id'] and sys.argv[5] == '--wrapped-key'\n"
            f"key = KeyFiles({str(root / 'keys')!r}).unwrap(sys.argv[6], sys.argv[4])\n"
            "print(base64.b64encode(key).decode())\n"
        )
        program.chmod(0o755)
        table = parquet.read_table(path, decryption_properties=decryption(Agent((str(program),))), partitioning=None)
        assert table.num_rows > 0
        program.write_text("#!/bin/sh\necho 'not yours' >&2\nexit 1\n")
        told = refusal(lambda: parquet.read_table(path, decryption_properties=decryption(Agent((str(program),)))))
        assert "not yours" in told, told


def plain(root: Path) -> None:
    table = parquet.read_table(root / "plain.parquet")
    assert table.num_rows == RECORDS
    assert table["sequence"].to_pylist() == list(range(1, RECORDS + 1))
    lines = (root / "records.jsonl").read_text().splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == list(range(1, RECORDS + 1))


def capture(root: Path) -> None:
    fields = ["frame.time_epoch", "frame.len", "frame.cap_len", "ip.dst", "tcp.srcport", "frame.comment"]
    call = ["tshark", "-n", "-r", str(root / "refused.pcapng"), "-T", "fields"]
    call += [part for field in fields for part in ("-e", field)]
    done = subprocess.run(call, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(rows) == REFUSED, len(rows)
    time, length, captured, destination, port, comment = rows[0]
    assert time.startswith("1795838400.01"), time
    assert (length, captured, destination, port) == ("60", "40", "10.2.0.3", "30010"), rows[0]
    for word in ("verdict=deny", "reason=cross_tenant_no_rule", "source=red/red-web", "process=77:/usr/bin/curl"):
        assert word in comment, comment


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    root = Path(sys.argv[1])
    for check in (sealed, keys, agent, plain, capture):
        check(root)
        print(f"{check.__name__}: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
