//! Whether RDMA devices belong to network namespaces: asked of the kernel over netlink.

use std::os::fd::AsRawFd as _;

use enforcer_core::device::posture::Text;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

/// `RDMA_NL_NLDEV` in the upper bits, `RDMA_NLDEV_CMD_SYS_GET` in the lower.
const SYS_GET: u16 = (5 << 10) | 6;
/// `NLM_F_REQUEST`
const REQUEST: u16 = 1;
/// `NLMSG_ERROR`
const ERROR: u16 = 2;
/// `RDMA_NLDEV_SYS_ATTR_NETNS_MODE`: one byte, 1 when every namespace has every device.
const NETNS_MODE: u16 = 66;
const HEADER: usize = 16;

/// `shared` or `exclusive`.
pub(super) fn mode() -> Text {
    match ask() {
        Ok(answer) => parse(&answer),
        Err(error) => Text::Failed(format!("netlink: {error}")),
    }
}

fn ask() -> nix::Result<Vec<u8>> {
    let socket =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRDMA)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(2))?;
    let mut message = Vec::with_capacity(HEADER);
    message.extend(16_u32.to_ne_bytes());
    message.extend(SYS_GET.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    send(socket.as_raw_fd(), &message, MsgFlags::empty())?;
    let mut buffer = vec![0; 4096];
    let read = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
    buffer.truncate(read);
    Ok(buffer)
}

fn parse(bytes: &[u8]) -> Text {
    let number = |at: usize| {
        let found = bytes.get(at..at.checked_add(2)?)?;
        Some(u16::from_ne_bytes(found.try_into().ok()?))
    };
    if number(4) == Some(ERROR) {
        return Text::Failed("the kernel refused to say".to_owned());
    }
    let mut at = HEADER;
    while let (Some(length), Some(kind)) = (number(at), number(at + 2)) {
        if kind == NETNS_MODE {
            return match bytes.get(at + 4) {
                Some(0) => Text::Read("exclusive".to_owned()),
                Some(1) => Text::Read("shared".to_owned()),
                _ => Text::Failed("a mode that is not known".to_owned()),
            };
        }
        if length < 4 {
            break;
        }
        at += (usize::from(length) + 3) & !3;
    }
    Text::Absent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: u16, mode: u8) -> Vec<u8> {
        let mut bytes = 24_u32.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend([5_u16.to_ne_bytes(), NETNS_MODE.to_ne_bytes()].concat());
        bytes.extend([mode, 0, 0, 0]);
        bytes
    }

    #[test]
    fn the_mode_is_found_or_a_reason() {
        assert_eq!(parse(&answer(SYS_GET, 0)), Text::Read("exclusive".to_owned()));
        assert_eq!(parse(&answer(SYS_GET, 1)), Text::Read("shared".to_owned()));
        assert!(matches!(parse(&answer(SYS_GET, 7)), Text::Failed(_)));
        assert!(matches!(parse(&answer(ERROR, 0)), Text::Failed(_)));
        for length in 0..20 {
            assert_eq!(parse(&answer(SYS_GET, 1)[..length]), Text::Absent);
        }
    }
}
