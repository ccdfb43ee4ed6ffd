"""py-spiffe inside a workload: says what it was given, a JSON object a line, and reads commands from its input.

    fetch               one X.509 context
    source              a long-lived X509Source: says each update, until its input ends
    jwt AUDIENCE        a JWT-SVID
    validate AUDIENCE   validates the token on its input

The Workload API is where SPIFFE_ENDPOINT_SOCKET says. Whatever goes wrong is said as {"error": ...}.
"""

import json
import sys

from spiffe import WorkloadApiClient, X509Source

TIMEOUT = 20


def say(**words):
    print(json.dumps(words), flush=True)


def hexadecimal(number):
    digits = f"{number:x}"
    return digits.zfill(len(digits) + len(digits) % 2)


def context_said(context):
    svid = context.default_svid
    bundles = context.x509_bundle_set.bundles
    return {
        "id": str(svid.spiffe_id),
        "serial": hexadecimal(svid.leaf.serial_number),
        "chain": len(svid.cert_chain),
        "bundles": {bundle.trust_domain.name: len(bundle.x509_authorities) for bundle in bundles},
    }


def fetch():
    with WorkloadApiClient(default_timeout=TIMEOUT) as client:
        say(**context_said(client.fetch_x509_context()))


def source():
    with X509Source(timeout_in_seconds=TIMEOUT) as source:
        update = lambda: say(**context_said(source.get_x509_context()))
        source.subscribe_for_updates(update)
        update()
        sys.stdin.read()


def jwt(audience):
    with WorkloadApiClient(default_timeout=TIMEOUT) as client:
        svid = client.fetch_jwt_svid(audience={audience})
        say(id=str(svid.spiffe_id), token=svid.token, audience=sorted(svid.audience))


def validate(audience):
    with WorkloadApiClient(default_timeout=TIMEOUT) as client:
        svid = client.validate_jwt_svid(sys.stdin.readline().strip(), audience)
        say(id=str(svid.spiffe_id))


def main(verb, *words):
    try:
        {"fetch": fetch, "source": source, "jwt": jwt, "validate": validate}[verb](*words)
    except Exception as error:
        say(error=str(error))


main(*sys.argv[1:])
