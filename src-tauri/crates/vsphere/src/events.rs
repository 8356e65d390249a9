//! What vCenter has written down about a machine.

use crate::error::VsphereError;
use crate::session::{VCenter, renewing};
use crate::soap::Call;
use crate::xml::{Node, escape};
use jiff::Timestamp;

/// One line of a machine's history.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct VmEvent {
    /// Grows with time.
    pub key: i32,
    pub at: Timestamp,
    /// `VmPoweredOffEvent`; for events of extensions their own id, `com.vmware.vc.vmam.AppMonitoringNotSupported`.
    pub kind: String,
    /// Empty for what vCenter does by itself.
    pub user: String,
    /// In the language of the session, English.
    pub message: String,
}

impl VCenter {
    /// The last events of a machine, at most `last` (1 to 1,000), newest first.
    ///
    /// Read through a collector: a query answers with everything that was ever written, and a stand-alone host has none.
    pub async fn vm_events(&self, moref: &str, last: u32) -> Result<Vec<VmEvent>, VsphereError> {
        renewing!(self, self.vm_events_once(moref, last))
    }

    async fn vm_events_once(&self, moref: &str, last: u32) -> Result<Vec<VmEvent>, VsphereError> {
        let manager = self.content().event_manager.as_str();
        let filter = format!(
            "<filter><entity><entity type=\"VirtualMachine\">{}</entity><recursion>self</recursion></entity>\
             <disableFullMessage>false</disableFullMessage><maxCount>{last}</maxCount></filter>",
            escape(moref)
        );
        let call = Call::new("CreateCollectorForEvents", ("EventManager", manager)).xml(&filter);
        let made = self.send(&call).await?;
        let this = ("EventHistoryCollector", made.text_of("returnval").unwrap_or_default());
        let read = self.retrieve_one(this.0, this.1, &["latestPage"]).await;
        // A client may have only so many.
        if let Err(e) = self.send(&Call::new("DestroyCollector", this)).await {
            tracing::debug!(error = %e, "a collector could not be removed; it ends with the session");
        }
        let read = read?;
        let page = read.node("latestPage").map(|n| &*n.children).unwrap_or_default();
        let mut events: Vec<VmEvent> = page.iter().filter_map(event).collect();
        // A page is in no order.
        events.sort_by_key(|e| std::cmp::Reverse(e.key));
        Ok(events)
    }
}

fn event(node: &Node) -> Option<VmEvent> {
    let text = |name: &str| node.text_of(name).unwrap_or_default().to_owned();
    let kind = node
        .text_of("eventTypeId")
        .or(node.kind.as_deref())
        .unwrap_or("Event")
        .to_owned();
    Some(VmEvent {
        key: node.text_of("key")?.parse().ok()?,
        at: node.text_of("createdTime")?.parse().ok()?,
        message: Some(text("fullFormattedMessage"))
            .filter(|m| !m.is_empty())
            .unwrap_or_else(|| kind.clone()),
        user: text("userName"),
        kind,
    })
}
