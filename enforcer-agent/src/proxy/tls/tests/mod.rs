//! Certificates, peers and wires for the tests of the tunnel.
