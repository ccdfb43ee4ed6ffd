"""Data keys of Enforcer's trace files, for pyarrow.

Sealed trace files are Parquet, encrypted column by column and footer. The footer carries the file's data key, wrapped
by its tenant's key (key material PKMT1, single wrapping). This module unwraps it, and pyarrow does the rest:

    import pyarrow.parquet as parquet
    from enforcer_kms import Agent, decryption

    table = parquet.read_table(path, decryption_properties=decryption(Agent()))

`Agent` asks the node's agent, which records that it was asked and refuses what the caller may not read. `KeyFiles` takes
tenant keys from files, for work away from the node: whoever has such a file can read every trace of the tenant.
"""

from __future__ import annotations

import base64
import binascii
import subprocess
from pathlib import Path

import pyarrow.parquet.encryption as encryption

NONCE_BYTES = 12
KEY_BYTES = 32


class KeyUnavailable(Exception):
    """No key: it was destroyed, is another tenant's, or the agent cannot be asked."""


class Agent:
    """Has keys unwrapped by the agent, with `enforcerctl trace unwrap`."""

    def __init__(self, command: tuple[str, ...] = ("enforcerctl",), timeout_s: float = 30.0) -> None:
        self.command = tuple(command)
        self.timeout_s = timeout_s

    def unwrap(self, wrapped: str, master_key_id: str) -> bytes:
        call = [*self.command, "trace", "unwrap", "--master-key-id", master_key_id, "--wrapped-key", wrapped]
        try:
            done = subprocess.run(call, capture_output=True, timeout=self.timeout_s, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KeyUnavailable(f"{self.command[0]} cannot be run: {error}") from error
        if done.returncode != 0:
            problem = done.stderr.decode(errors="replace").strip()
            raise KeyUnavailable(f"the key {master_key_id} does not unwrap: {problem}")
        return decoded(done.stdout.decode(errors="replace").strip(), "what the agent answered")


class KeyFiles:
    """Unwraps with tenant keys in files: DIRECTORY/TENANT/KEY, 32 bytes or their base64."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    def unwrap(self, wrapped: str, master_key_id: str) -> bytes:
        # Needed here only: who asks the agent need not have it.
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        sealed = decoded(wrapped, "the wrapped key")
        try:
            # The tenant's key is bound to its name, so that it opens nothing under another.
            return AESGCM(self.key(master_key_id)).decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], master_key_id.encode()
            )
        except (InvalidTag, ValueError) as error:
            raise KeyUnavailable(f"the key {master_key_id} does not open this file's") from error

    def key(self, master_key_id: str) -> bytes:
        parts = master_key_id.split("/")
        if len(parts) != 2 or any(part in ("", ".", "..") for part in parts):
            raise KeyUnavailable(f"{master_key_id!r} is no id of a tenant's key (TENANT/KEY)")
        try:
            content = self.directory.joinpath(*parts).read_bytes()
        except OSError as error:
            raise KeyUnavailable(f"there is no key {master_key_id} here: {error}") from error
        if len(content) != KEY_BYTES:
            content = decoded(content.decode(errors="replace").strip(), "the file")
        if len(content) != KEY_BYTES:
            raise KeyUnavailable(f"the key {master_key_id} has {len(content)} bytes and not {KEY_BYTES}")
        return content


def decoded(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise KeyUnavailable(f"{what} is no base64") from error


class EnforcerKms(encryption.KmsClient):
    """pyarrow's way to ask for keys. It reads: new files are sealed by the agent alone."""

    def __init__(self, source: Agent | KeyFiles) -> None:
        super().__init__()
        self.source = source

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        raise NotImplementedError("traces are sealed by the agent")

    def unwrap_key(self, wrapped_key: bytes | str, master_key_identifier: str) -> bytes:
        wrapped = wrapped_key.decode() if isinstance(wrapped_key, bytes) else wrapped_key
        return self.source.unwrap(wrapped, master_key_identifier)


def parts(source: Agent | KeyFiles) -> tuple:
    """Factory, connection and configuration, as `pyarrow.dataset.ParquetDecryptionConfig` takes them."""
    factory = encryption.CryptoFactory(lambda _: EnforcerKms(source))
    return factory, encryption.KmsConnectionConfig(), encryption.DecryptionConfiguration()


def decryption(source: Agent | KeyFiles):
    """Decryption properties for one file."""
    factory, connection, configuration = parts(source)
    return factory.file_decryption_properties(connection, configuration)


def dataset(directory: str | Path, source: Agent | KeyFiles, tenant: str | None = None):
    """Every sealed file below a store's directory, or a tenant's alone, as one data set with `tenant` and `hour`."""
    import pyarrow.dataset as datasets

    root = Path(directory)
    pattern = f"tenant={tenant or '*'}/hour=*/*.parquet"
    files = sorted(str(path) for path in root.glob(pattern) if not path.name.startswith("."))
    if not files:
        raise FileNotFoundError(f"no sealed file at {root / pattern}")
    reading = datasets.ParquetFragmentScanOptions(
        decryption_config=datasets.ParquetDecryptionConfig(*parts(source))
    )
    return datasets.dataset(
        files,
        format=datasets.ParquetFileFormat(default_fragment_scan_options=reading),
        partitioning=datasets.HivePartitioning.discover(),
        partition_base_dir=str(root),
    )
