//! Compiles the messages with `protox`, so that no `protoc` is needed.

use std::{env, fs, path::Path};

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=enforcer");
    let files = protox::compile(["enforcer/v1/policy.proto", "enforcer/v1/node.proto"], ["."])?;
    let descriptor = Path::new(&env::var("OUT_DIR")?).join("descriptor.bin");
    fs::write(descriptor, files.encode_to_vec())?;
    let grpc = env::var_os("CARGO_FEATURE_GRPC").is_some();
    tonic_prost_build::configure().build_client(grpc).build_server(grpc).compile_fds(files)?;
    Ok(())
}
