"""Counts records by verdict with DuckDB: of a plain export, or of a sealed file with its data key."""

import argparse
import base64
import json
import sys
from pathlib import Path

import duckdb

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "deploy" / "clients"))


def data_key(path, agent):
    """What the agent unwraps of the key material in the file's footer, as DuckDB takes it."""
    raw = Path(path).read_bytes()
    # An encrypted footer ends with its length and PARE, and begins with the crypto metadata, in which the material is JSON.
    length = int.from_bytes(raw[-8:-4], "little")
    footer = raw[-8 - length : -8]
    start, end = footer.index(b"{"), footer.index(b"}") + 1
    material = json.loads(footer[start:end])
    return base64.b64encode(agent.unwrap(material["wrappedDEK"], material["masterKeyID"])).decode()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--enforcerctl")
    parser.add_argument("--socket")
    words = parser.parse_args()
    source = f"read_parquet('{words.file}'"
    if words.enforcerctl:
        from enforcer_kms import Agent

        key = data_key(words.file, Agent((words.enforcerctl, "--socket", words.socket)))
        duckdb.sql(f"PRAGMA add_parquet_key('file', '{key}')")
        source += ", encryption_config = {footer_key: 'file'}"
    rows = duckdb.sql(f"SELECT verdict, count(*) FROM {source}, hive_partitioning = false) GROUP BY verdict").fetchall()
    counts = {verdict or "": count for verdict, count in rows}
    print(json.dumps({"denied": counts.get("deny", 0), "all": sum(counts.values())}))


main()
