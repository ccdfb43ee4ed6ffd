#!/usr/bin/env python3
"""Finds what a tenant was refused in sealed traces, and prints it as JSON lines.

    find_refusals.py /var/lib/enforcer/trace red [--executable curl] [--keys DIRECTORY]

Without --keys the node's agent is asked to unwrap each file's key, and says no where the caller may not read it.
"""

import argparse
import json
import sys

import pyarrow
import pyarrow.compute as compute

from enforcer_kms import Agent, KeyFiles, KeyUnavailable, dataset

TOP = ["sequence", "time", "node", "type", "verdict", "reason", "rule", "revision"]
# Columns of one thing, and what `enforcerctl -o json` calls them.
PARTS = {
    "source": {"identity": "identity", "workload": "workload", "address": "address", "spiffe_id": "spiffeId", "svid_serial": "svidSerial"},
    "destination": {"identity": "identity", "workload": "workload", "port": "port"},
    "process": {"pid": "pid", "executable": "executable", "arguments": "arguments"},
    "device": {"class": "class", "major": "major", "minor": "minor"},
}
COLUMNS = TOP + [f"{part}_{column}" for part, columns in PARTS.items() for column in columns]


def nested(row: dict) -> dict:
    record = {name: row[name] for name in TOP if row[name] is not None}
    record["time"] = row["time"].isoformat()
    for part, columns in PARTS.items():
        values = {name: row[f"{part}_{column}"] for column, name in columns.items()}
        values = {name: value for name, value in values.items() if value is not None}
        if values:
            record[part] = values
    if "arguments" in record.get("process", {}):
        record["process"]["arguments"] = json.loads(record["process"]["arguments"])
    return record


def is_executable(record: dict, wanted: str) -> bool:
    """The whole path, or its last part."""
    path = record.get("process", {}).get("executable", "")
    return wanted in (path, path.rsplit("/", 1)[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("tenant")
    parser.add_argument("--keys", help="a directory with tenant keys, TENANT/KEY")
    parser.add_argument("--executable", help="only of this executable: its path, or the last part of it")
    parser.add_argument("--enforcerctl", default="enforcerctl", help="the command that asks the agent")
    parser.add_argument("--socket", help="the agent's socket, where it is not the usual one")
    arguments = parser.parse_args()
    command = [arguments.enforcerctl] + (["--socket", arguments.socket] if arguments.socket else [])
    source = KeyFiles(arguments.keys) if arguments.keys else Agent(tuple(command))
    try:
        table = dataset(arguments.store, source, arguments.tenant).to_table(
            columns=COLUMNS, filter=compute.field("verdict") == "deny"
        )
    except (KeyUnavailable, OSError) as error:
        print(f"find_refusals: {error}", file=sys.stderr)
        return 1
    # Python's own dates have microseconds.
    time = table["time"].cast(pyarrow.timestamp("us", "UTC"), safe=False)
    table = table.set_column(table.schema.get_field_index("time"), "time", time)
    for row in table.sort_by("sequence").to_pylist():
        record = nested(row)
        if arguments.executable is None or is_executable(record, arguments.executable):
            print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
