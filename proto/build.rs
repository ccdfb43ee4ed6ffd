//! Compiles the messages with `protox`, so that no `protoc` is needed.

use std::{env, fs, path::Path};

use prost::Message as _;
use tonic_prost_build::Builder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=enforcer");
    println!("cargo:rerun-if-changed=hubble");
    println!("cargo:rerun-if-changed=third-party");
    let own = [
        "enforcer/v1/policy.proto",
        "enforcer/v1/node.proto",
        "enforcer/v1/identity.proto",
        "enforcer/v1/tunnel.proto",
        "enforcer/v1/trace.proto",
        "enforcer/v1/detection.proto",
        "enforcer/v1/device.proto",
    ];
    let hubble = ["hubble/flow.proto", "hubble/observer.proto", "hubble/peer.proto"];
    compile(tonic_prost_build::configure(), &own, ".", "descriptor.bin")?;
    // Requests are read by a codec that refuses what it does not know.
    let strict = tonic_prost_build::configure().codec_path("crate::hubble::codec::Strict");
    compile(strict, &hubble, ".", "hubble.bin")?;
    compile(tonic_prost_build::configure(), &["workload.proto"], "third-party/spiffe", "spiffe.bin")?;
    compile(tonic_prost_build::configure(), &["api.proto"], "third-party/podresources", "podresources.bin")
}

fn compile(
    builder: Builder,
    files: &[&str],
    folder: &str,
    descriptor: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let files = protox::compile(files, [folder])?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join(descriptor), files.encode_to_vec())?;
    let grpc = env::var_os("CARGO_FEATURE_GRPC").is_some();
    builder.build_client(grpc).build_server(grpc).compile_fds(files)?;
    Ok(())
}
