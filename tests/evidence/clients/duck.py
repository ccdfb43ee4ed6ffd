"""Counts records by verdict with DuckDB: of a plain export, or of a sealed file with its data key."""

import argparse
import json
import sys
from pathlib import Path

import duckdb

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "deploy" / "clients"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--enforcerctl")
    parser.add_argument("--socket")
    words = parser.parse_args()
    source = f"read_parquet('{words.file}'"
    if words.enforcerctl:
        from enforcer_kms import data_key

        key = data_key(words.file, enforcerctl=words.enforcerctl, socket=words.socket)
        duckdb.sql(f"PRAGMA add_parquet_key('file', '{key}')")
        source += ", encryption_config = {footer_key: 'file'}"
    rows = duckdb.sql(f"SELECT verdict, count(*) FROM {source}) GROUP BY verdict").fetchall()
    counts = {verdict or "": count for verdict, count in rows}
    print(json.dumps({"denied": counts.get("deny", 0), "all": sum(counts.values())}))


main()
