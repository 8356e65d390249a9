//! Fault scripts: what can be made to go wrong in a rehearsal, by choice. A script is data; the gate in front of the
//! services plays it. The same script and seed give the same rehearsal.

use crate::{
    LabError,
    gate::{Fault, FaultKind, Service},
};

/// One thing that goes wrong.
#[derive(Debug)]
pub struct Script {
    pub id: &'static str,
    pub title: &'static str,
    /// What goes wrong, where and for how long.
    pub happens: &'static str,
    /// What the admin sees, and what to do.
    pub admin: &'static str,
    pub end: End,
    pub with: With,
    pub(crate) faults: fn() -> Vec<Fault>,
}

/// How a run under a script ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Rehost gets over it alone.
    ByItself,
    /// A person removes the cause and tries the task again.
    Person,
}

/// The methods with which a script can be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum With {
    All,
    InMageRcm,
    VMwareCbt,
    LogReplay,
    Dms,
}

/// All scripts, in the order in which an admin meets what they are about.
pub const SCRIPTS: &[Script] = &[
    Script {
        id: "azure-throttled",
        title: "Azure throttles the subscription",
        happens: "Five times a request that changes something is refused with 429 for a minute, as if other programs used up the subscription's requests.",
        admin: "Nothing to do. The task says when Rehost asks again.",
        end: End::ByItself,
        with: With::All,
        faults: || {
            vec![Fault {
                service: Service::Arm,
                method: Some("PUT".into()),
                path: String::new(),
                count: 5,
                kind: FaultKind::Throttle { retry_after: 60 },
            }]
        },
    },
    Script {
        id: "lost-answers",
        title: "Azure accepts, and the answer is lost",
        happens: "Twice the gateway answers 504 although the request was carried out, then twice the connection breaks after it.",
        admin: "Nothing to do. Rehost looks before it asks again, and adopts what is there.",
        end: End::ByItself,
        with: With::All,
        faults: || {
            [FaultKind::LostAnswer, FaultKind::CutAfter]
                .map(|kind| Fault {
                    service: Service::Arm,
                    method: Some("PUT".into()),
                    path: "/providers/".into(),
                    count: 2,
                    kind,
                })
                .into()
        },
    },
];

/// The script with this id.
///
/// # Errors
/// Fails when there is none.
pub fn script(id: &str) -> Result<&'static Script, LabError> {
    SCRIPTS
        .iter()
        .find(|s| s.id == id)
        .ok_or_else(|| LabError::Fault(id.into()))
}
