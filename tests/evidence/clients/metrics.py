#!/usr/bin/env python3
"""Scrapes an endpoint as Prometheus does, and reads the answer with the parsers of Prometheus' own client library.

    metrics.py URL [--format openmetrics|text] [--cert PEM --key PEM --ca PEM]

The last line is JSON: the content type, and every metric as {name: {"type": ..., "samples": [[labels, value], ...]}}.
Ends with status 1 when the answer is not what the parsers take.
"""

import argparse
import http.client
import json
import ssl
import sys
import urllib.parse

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client import parser as text

ACCEPT = {
    "openmetrics": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
    "text": "text/plain;version=0.0.4",
}
TYPES = {
    "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
    "text": "text/plain; version=0.0.4; charset=utf-8",
}


def fetch(args):
    url = urllib.parse.urlsplit(args.url)
    if url.scheme == "https":
        context = ssl.create_default_context(cafile=args.ca)
        context.check_hostname = False
        if args.cert:
            context.load_cert_chain(args.cert, args.key)
        connection = http.client.HTTPSConnection(url.hostname, url.port, context=context, timeout=20)
    else:
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
    connection.request("GET", url.path or "/metrics", headers={"Accept": ACCEPT[args.format]})
    answer = connection.getresponse()
    return answer.status, answer.headers.get("Content-Type"), answer.read().decode()


def parse(body, form):
    """Strictly: the names of families and of samples must be as the format has them, and no series may come twice."""
    families = (openmetrics if form == "openmetrics" else text).text_string_to_metric_families(body)
    metrics, seen = {}, set()
    for family in families:
        if family.name in metrics:
            raise ValueError(f"{family.name} comes twice")
        if not family.documentation:
            raise ValueError(f"{family.name} has no help")
        if family.type not in ("counter", "gauge", "info"):
            raise ValueError(f"{family.name} is of type {family.type}")
        samples = []
        for sample in family.samples:
            series = (sample.name, tuple(sorted(sample.labels.items())))
            if series in seen:
                raise ValueError(f"{series} comes twice")
            seen.add(series)
            samples.append([sample.labels, sample.value])
        metrics[family.name] = {"type": family.type, "samples": samples}
    return metrics


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("url")
    arguments.add_argument("--format", choices=sorted(ACCEPT), default="openmetrics")
    arguments.add_argument("--ca")
    arguments.add_argument("--cert")
    arguments.add_argument("--key")
    args = arguments.parse_args()
    status, kind, body = fetch(args)
    if status != 200:
        print(json.dumps({"status": status}))
        sys.exit(1)
    if kind != TYPES[args.format]:
        sys.exit(f"content type is {kind}")
    if (args.format == "openmetrics") != body.endswith("# EOF\n"):
        sys.exit("the end is not as the format has it")
    print(json.dumps({"status": status, "contentType": kind, "metrics": parse(body, args.format)}))


if __name__ == "__main__":
    main()
