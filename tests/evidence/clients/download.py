"""Copies what lies below a prefix of a bucket: download.py ENDPOINT BUCKET PREFIX DIRECTORY"""

import sys
from pathlib import Path

import boto3

endpoint, bucket, prefix, directory = sys.argv[1:]
client = boto3.client(
    "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
)
for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix + "/"):
    for item in page.get("Contents", []):
        path = Path(directory) / item["Key"].removeprefix(prefix + "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(bucket, item["Key"], str(path))
