//! Reading properties of managed objects, page by page.

use crate::error::VsphereError;
use crate::session::VCenter;
use crate::soap::{Call, Record, typed_fault};
use crate::xml::{Node, escape};

/// What real vCenters put into one answer at most, whatever is asked for (ManageIQ#8211, node-vsphere#4).
pub(crate) const PAGE: u32 = 100;

/// One managed object with the properties that were set.
#[derive(Debug)]
pub(crate) struct Object {
    pub kind: String,
    pub moref: String,
    values: Vec<(String, Node)>,
    /// The refusal, when the account may not see a property.
    denied: Option<VsphereError>,
}

impl Object {
    pub fn node(&self, path: &str) -> Option<&Node> {
        self.values.iter().find(|(p, _)| p == path).map(|(_, v)| v)
    }

    pub fn text(&self, path: &str) -> Option<&str> {
        self.node(path).map(|n| n.text.as_str()).filter(|t| !t.is_empty())
    }

    pub fn owned(&self, path: &str) -> Option<String> {
        self.text(path).map(str::to_owned)
    }

    pub fn number<N: std::str::FromStr>(&self, path: &str) -> Option<N> {
        self.text(path)?.trim().parse().ok()
    }

    pub fn flag(&self, path: &str) -> Option<bool> {
        self.text(path).map(|t| matches!(t, "true" | "1"))
    }
}

/// Some objects, and the token for the rest.
pub(crate) struct Page {
    pub objects: Vec<Object>,
    pub token: Option<String>,
}

/// Which objects.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of<'a> {
    /// One, by type and id.
    One(&'a str, &'a str),
    /// A machine by its id, its host, all that they are in, and its networks.
    MachineAndPlaces(&'a str),
    View(&'a str),
}

/// Properties to read, by the objects' type (which means its descendants, too).
pub(crate) type Paths<'a> = &'a [(&'a str, &'a [&'a str])];

const UP: &str = "<selectSet><name>up</name></selectSet>";

impl VCenter {
    /// The first page.
    pub(crate) async fn retrieve(&self, of: Of<'_>, what: Paths<'_>, record: Record) -> Result<Page, VsphereError> {
        let property = |(kind, paths): &(&str, &[&str])| {
            let paths: String = paths
                .iter()
                .map(|p| format!("<pathSet>{}</pathSet>", escape(p)))
                .collect();
            format!("<propSet><type>{kind}</type><all>false</all>{paths}</propSet>")
        };
        let properties: String = what.iter().map(property).collect();
        let traversal = |name: &str, kind: &str, path: &str, then: &str| {
            format!(
                "<selectSet xsi:type=\"TraversalSpec\"><name>{name}</name><type>{kind}</type><path>{path}</path>\
                 <skip>false</skip>{then}</selectSet>"
            )
        };
        let objects = match of {
            Of::One(kind, moref) => format!(
                "<obj type=\"{}\">{}</obj><skip>false</skip>",
                escape(kind),
                escape(moref)
            ),
            Of::MachineAndPlaces(moref) => format!(
                "<obj type=\"VirtualMachine\">{}</obj><skip>false</skip>{}{}{}",
                escape(moref),
                traversal("up", "ManagedEntity", "parent", UP),
                traversal("host", "VirtualMachine", "runtime.host", UP),
                traversal("network", "VirtualMachine", "network", ""),
            ),
            Of::View(view) => format!(
                "<obj type=\"ContainerView\">{}</obj><skip>true</skip>{}",
                escape(view),
                traversal("view", "ContainerView", "view", "")
            ),
        };
        let call = Call::new("RetrievePropertiesEx", self.collector())
            .xml(&format!(
                "<specSet>{properties}<objectSet>{objects}</objectSet></specSet>"
            ))
            .xml(&format!("<options><maxObjects>{PAGE}</maxObjects></options>"))
            .record(record);
        self.page(call).await
    }

    pub(crate) async fn next_page(&self, token: &str) -> Result<Page, VsphereError> {
        self.page(Call::new("ContinueRetrievePropertiesEx", self.collector()).arg("token", token))
            .await
    }

    /// Gives up the rest. Reads that stay open have crashed vCenters (Icinga vspheredb#372).
    pub(crate) async fn cancel(&self, token: &str) {
        let call = Call::new("CancelRetrievePropertiesEx", self.collector()).arg("token", token);
        if let Err(e) = self.send(&call).await {
            tracing::debug!(error = %e, "a truncated read could not be cancelled");
        }
    }

    async fn page(&self, call: Call) -> Result<Page, VsphereError> {
        let mut objects = Vec::new();
        let mut ended = None;
        let response = self
            .send_records(&call, "objects", |node| {
                match object(self.server(), call.method, node) {
                    Ok(object) => objects.extend(object),
                    Err(e) => ended = Some(e),
                }
            })
            .await?;
        let token = response.at(&["returnval", "token"]).map(|t| t.text.clone());
        match ended {
            Some(e) => Err(e),
            None => Ok(Page { objects, token }),
        }
    }

    /// All pages.
    pub(crate) async fn retrieve_all(
        &self,
        of: Of<'_>,
        what: Paths<'_>,
        record: Record,
    ) -> Result<Vec<Object>, VsphereError> {
        let mut page = self.retrieve(of, what, record).await?;
        let mut objects = page.objects;
        while let Some(token) = page.token {
            page = self.next_page(&token).await?;
            objects.append(&mut page.objects);
        }
        Ok(objects)
    }

    /// All objects of these types below the root folder.
    pub(crate) async fn list(&self, what: Paths<'_>) -> Result<Vec<Object>, VsphereError> {
        let kinds: Vec<&str> = what.iter().map(|(kind, _)| *kind).collect();
        let view = self.create_view(&kinds).await?;
        let outcome = self.retrieve_all(Of::View(&view), what, Record::Whole).await;
        self.destroy_view(&view).await;
        outcome
    }

    /// Properties of one object.
    pub(crate) async fn retrieve_one(&self, kind: &str, moref: &str, paths: &[&str]) -> Result<Object, VsphereError> {
        let page = self
            .retrieve(Of::One(kind, moref), &[(kind, paths)], Record::Whole)
            .await?;
        match page.objects.into_iter().next() {
            Some(Object {
                values,
                denied: Some(refusal),
                ..
            }) if values.is_empty() => Err(refusal),
            found => found.ok_or_else(|| self.missing(kind, moref)),
        }
    }

    /// The server did not mention an object that was asked for.
    pub(crate) fn missing(&self, kind: &str, moref: &str) -> VsphereError {
        VsphereError::Parse {
            server: self.server().to_owned(),
            method: "RetrievePropertiesEx".into(),
            detail: format!("{kind} {moref} is missing in the answer"),
        }
    }

    pub(crate) async fn create_view(&self, kinds: &[&str]) -> Result<String, VsphereError> {
        let content = self.content();
        let mut call = Call::new("CreateContainerView", ("ViewManager", &content.view_manager))
            .reference("container", ("Folder", &content.root_folder));
        for kind in kinds {
            call = call.arg("type", kind);
        }
        let response = self.send(&call.arg("recursive", true)).await?;
        Ok(response.text_of("returnval").unwrap_or_default().to_owned())
    }

    pub(crate) async fn destroy_view(&self, view: &str) {
        if let Err(e) = self.send(&Call::new("DestroyView", ("ContainerView", view))).await {
            tracing::debug!(error = %e, "a view could not be removed; it ends with the session");
        }
    }
}

/// Reads one `<objects>`. A property that the account may not see is left out, like one that is unset; an ended session
/// is an error: a server answers 200 then, with every property missing.
fn object(server: &str, method: &str, node: Node) -> Result<Option<Object>, VsphereError> {
    let mut denied = None;
    for missing in node.all("missingSet") {
        let fault = missing.at(&["fault", "fault"]);
        match fault.and_then(|f| f.kind.as_deref()) {
            Some("NotAuthenticated") => return Err(typed_fault(server, method, "NotAuthenticated", "", fault)),
            Some("NoPermission") => denied = Some(typed_fault(server, method, "NoPermission", "", fault)),
            _ => {}
        }
    }
    let values = Vec::with_capacity(node.children.len());
    let mut object = Object {
        kind: String::new(),
        moref: String::new(),
        values,
        denied,
    };
    for child in node.children {
        match child.name.as_str() {
            "obj" => (object.kind, object.moref) = (child.reference.unwrap_or_default(), child.text),
            "propSet" => {
                let mut parts = child.children.into_iter();
                if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                    object.values.push((name.text, value));
                }
            }
            _ => {}
        }
    }
    Ok((!object.moref.is_empty()).then_some(object))
}
