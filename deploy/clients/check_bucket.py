#!/usr/bin/env python3
"""Ships a store to a bucket, twice, and verifies what is in it: against moto's S3, over HTTP.

    check_bucket.py STORE SHIP

SHIP is the program `cargo build -p enforcer-trace --example ship` makes. Needs the packages moto[server] and boto3.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "traces"


def ship(program: str, store: str, port: int) -> tuple[int, int]:
    """Objects that were sent, and that were there."""
    options = [
        f"endpoint=http://127.0.0.1:{port}",
        "allow_http=true",
        "region=us-east-1",
        "access_key_id=test",
        "secret_access_key=test",
    ]
    call = [program, store, f"s3://{BUCKET}/node-1", *options]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sent, present = re.search(r"(\d+) sent, \d+ bytes, (\d+) present", done.stdout).groups()
    return int(sent), int(present)


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    store, program = sys.argv[1:]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        _, port = server.get_host_and_port()
        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        client.create_bucket(Bucket=BUCKET)
        sent, present = ship(program, store, port)
        assert sent > 4 and present == 0, (sent, present)
        again, present = ship(program, store, port)
        assert again < sent and present > 0, (again, present)
        with tempfile.TemporaryDirectory() as copy:
            listed = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="node-1/")
            for entry in (entry for page in listed for entry in page.get("Contents", [])):
                path = Path(copy) / entry["Key"].removeprefix("node-1/")
                path.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(BUCKET, entry["Key"], str(path))
            subprocess.run([program, "--verify", copy], check=True)
            sealed = next(Path(copy).glob("tenant=*/hour=*/*.parquet"))
            sealed.write_bytes(sealed.read_bytes()[:-1])
            assert subprocess.run([program, "--verify", copy], capture_output=True, check=False).returncode != 0
    finally:
        server.stop()
    print("bucket: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
