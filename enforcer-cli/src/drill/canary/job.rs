//! What a canary is told to do. The parent writes it, and the child reads it from its command line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One of the two tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    /// The one.
    A,
    /// The other.
    B,
}

impl Side {
    /// Both.
    pub(crate) const BOTH: [Self; 2] = [Self::A, Self::B];

    const fn pick<T: Copy>(self, a: T, b: T) -> T {
        match self {
            Self::A => a,
            Self::B => b,
        }
    }

    /// The other one.
    pub(crate) const fn other(self) -> Self {
        self.pick(Self::B, Self::A)
    }

    /// Name of the tenant.
    pub(crate) const fn tenant(self) -> &'static str {
        self.pick("drill-a", "drill-b")
    }

    /// Its number, within the scratch wall.
    pub(crate) const fn id(self) -> u32 {
        self.pick(16, 17)
    }

    /// Name of its workload.
    pub(crate) const fn workload(self) -> &'static str {
        self.pick("canary-a", "canary-b")
    }

    /// Its control group below the scratch wall's root.
    pub(crate) const fn cgroup(self) -> &'static str {
        self.pick("/a", "/b")
    }

    /// Where it listens, in the drill's network namespace. Also what its datagrams say.
    pub(crate) const fn port(self) -> u16 {
        self.pick(7001, 7002)
    }

    /// The device that it was granted.
    pub(crate) const fn minor(self) -> u64 {
        self.pick(0, 1)
    }

    /// What its datagrams say.
    pub(crate) const fn sign(self) -> u8 {
        self.pick(b'a', b'b')
    }

    /// Name of its device's node.
    pub(crate) const fn node(self) -> &'static str {
        self.pick("drill0", "drill1")
    }
}

/// What a canary does.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Job {
    /// Turns into another program.
    Run { program: PathBuf, arguments: Vec<String> },
    /// Asks for its certificate, and says what came of it.
    Fetch { socket: PathBuf },
    /// Serves its own tenant and attacks the other until standard input ends.
    Attack(Attack),
}

/// What an attacker needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Attack {
    /// Who it is.
    pub(crate) side: Side,
    /// Where device nodes are.
    pub(crate) nodes: PathBuf,
    /// Major number of the class.
    pub(crate) major: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_survives_the_command_line() {
        let attack = Attack { side: Side::B, nodes: "/run/x".into(), major: 120 };
        for job in [
            Job::Attack(attack),
            Job::Fetch { socket: "/s".into() },
            Job::Run { program: "/p".into(), arguments: vec!["a b".to_owned(), "\"".to_owned()] },
        ] {
            let text = serde_json::to_string(&job).unwrap();
            assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job, "{text}");
        }
    }

    #[test]
    fn the_sides_share_nothing() {
        let (a, b) = (Side::A, Side::B);
        assert_eq!((a.other(), b.other()), (b, a));
        assert_ne!((a.tenant(), a.id(), a.port(), a.minor()), (b.tenant(), b.id(), b.port(), b.minor()));
        assert_ne!(
            (a.cgroup(), a.node(), a.sign(), a.workload()),
            (b.cgroup(), b.node(), b.sign(), b.workload())
        );
    }
}
