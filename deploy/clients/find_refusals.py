#!/usr/bin/env python3
"""Finds a tenant's refused flows in sealed traces.

    find_refusals.py /var/lib/enforcer/trace red [--keys DIRECTORY] [--executable /usr/bin/curl]

Without --keys the node's agent is asked to unwrap each file's key, and says no where the caller may not read it.
"""

import argparse
import sys

import pyarrow.compute as compute

from enforcer_kms import Agent, KeyFiles, KeyUnavailable, dataset

COLUMNS = [
    "sequence",
    "time",
    "reason",
    "rule",
    "source_workload",
    "source_address",
    "destination_identity",
    "destination_port",
    "process_executable",
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("tenant")
    parser.add_argument("--keys", help="a directory with tenant keys, TENANT/KEY")
    parser.add_argument("--executable", help="only of this executable")
    arguments = parser.parse_args()
    source = KeyFiles(arguments.keys) if arguments.keys else Agent()
    wanted = compute.field("verdict") == "deny"
    if arguments.executable:
        wanted &= compute.field("process_executable") == arguments.executable
    try:
        table = dataset(arguments.store, source, arguments.tenant).to_table(columns=COLUMNS, filter=wanted)
    except (KeyUnavailable, OSError) as error:
        print(f"find_refusals: {error}", file=sys.stderr)
        return 1
    for row in table.sort_by("sequence").to_pylist():
        print("\t".join(str(row[name] if row[name] is not None else "-") for name in COLUMNS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
