#!/usr/bin/env python3
"""A collector: an OTLP/gRPC server over the messages that OpenTelemetry publishes for Python.

    otlp.py ADDRESS:PORT FILE [--answers ANSWER,...] [--ca PEM --cert PEM --key PEM]

Appends a line of JSON to FILE for each call: {"signal": "logs" | "metrics", "headers": {...}, "answer": ..., and "records"
or "metrics"}. Each ANSWER is for one call of logs, in order; afterwards it takes everything:

    ok            takes it
    unavailable   UNAVAILABLE
    later=SECONDS RESOURCE_EXHAUSTED with RetryInfo
    invalid       INVALID_ARGUMENT
    partial=N     takes it, less N records
    silent=SECONDS answers after so long

Prints "ready" when it listens, and runs until it is told to end.
"""

import argparse
import json
import signal
import sys
import threading
import time
from concurrent import futures

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc


def value(any_value):
    """An AnyValue as JSON has it."""
    kind = any_value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [value(one) for one in any_value.array_value.values]
    if kind == "bytes_value":
        return any_value.bytes_value.hex()
    return getattr(any_value, kind)


def attributes(pairs):
    found = {}
    for pair in pairs:
        if pair.key in found:
            raise ValueError(f"{pair.key} comes twice")
        found[pair.key] = value(pair.value)
    return found


def log(resource, scope, record):
    return {
        "resource": resource,
        "scope": scope,
        "time": record.time_unix_nano,
        "observed": record.observed_time_unix_nano,
        "severity": record.severity_number,
        "severityText": record.severity_text,
        "body": value(record.body),
        "event": record.event_name,
        "traceId": record.trace_id.hex(),
        "attributes": attributes(record.attributes),
    }


class Book:
    def __init__(self, path, answers):
        self.lock = threading.Lock()
        self.file = open(path, "a", encoding="utf-8")
        self.answers = answers

    def write(self, entry):
        with self.lock:
            self.file.write(json.dumps(entry) + "\n")
            self.file.flush()

    def answer(self):
        with self.lock:
            return self.answers.pop(0) if self.answers else "ok"


def refuse(context, code, message, details=b""):
    if details:
        context.set_trailing_metadata((("grpc-status-details-bin", details),))
    context.set_code(code)
    context.set_details(message)


def retry_info(code, seconds):
    """google.rpc.Status with a google.rpc.RetryInfo, by hand: both are two fields."""
    delay = duration_pb2.Duration(seconds=seconds).SerializeToString()
    info = any_pb2.Any(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\x0a" + bytes([len(delay)]) + delay)
    packed = info.SerializeToString()
    return b"\x08" + bytes([code]) + b"\x1a" + bytes([len(packed)]) + packed


class Logs(logs_service_pb2_grpc.LogsServiceServicer):
    def __init__(self, book):
        self.book = book

    def Export(self, request, context):
        answer = self.book.answer()
        kind, _, number = answer.partition("=")
        records = [
            log(attributes(logs.resource.attributes), scoped.scope.name, record)
            for logs in request.resource_logs
            for scoped in logs.scope_logs
            for record in scoped.log_records
        ]
        entry = {"signal": "logs", "headers": dict(context.invocation_metadata()), "answer": answer, "records": records}
        entry["headers"] = {key: text for key, text in entry["headers"].items() if isinstance(text, str)}
        response = logs_service_pb2.ExportLogsServiceResponse()
        if kind == "unavailable":
            refuse(context, grpc.StatusCode.UNAVAILABLE, "overloaded")
        elif kind == "later":
            refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_info(8, int(number)))
        elif kind == "invalid":
            refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "nonsense")
        elif kind == "partial":
            response.partial_success.rejected_log_records = int(number)
            response.partial_success.error_message = "too old"
        elif kind == "silent":
            time.sleep(float(number))
        self.book.write(entry)
        return response


class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, book):
        self.book = book

    def Export(self, request, context):
        metrics = [
            MessageToDict(metric)
            for one in request.resource_metrics
            for scoped in one.scope_metrics
            for metric in scoped.metrics
        ]
        self.book.write({"signal": "metrics", "answer": "ok", "metrics": metrics})
        return metrics_service_pb2.ExportMetricsServiceResponse()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("address")
    arguments.add_argument("file")
    arguments.add_argument("--answers", default="")
    arguments.add_argument("--ca")
    arguments.add_argument("--cert")
    arguments.add_argument("--key")
    args = arguments.parse_args()
    book = Book(args.file, [answer for answer in args.answers.split(",") if answer])
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(book), server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(book), server)
    if args.cert:
        read = lambda path: open(path, "rb").read()
        pair = [(read(args.key), read(args.cert))]
        roots = read(args.ca) if args.ca else None
        port = server.add_secure_port(args.address, grpc.ssl_server_credentials(pair, roots, bool(roots)))
    else:
        port = server.add_insecure_port(args.address)
    if port == 0:
        sys.exit(f"cannot bind {args.address}")
    server.start()
    print("ready", flush=True)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    server.stop(0).wait()


if __name__ == "__main__":
    main()
