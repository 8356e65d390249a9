//! Reading properties of managed objects, page by page.

use crate::error::VsphereError;
use crate::session::VCenter;
use crate::soap::{Call, Received, Record, typed_fault};
use crate::xml::{Node, escape};
use compact_str::CompactString;
use std::collections::BTreeSet;
use tokio::task::JoinHandle;

pub(crate) const VM: &str = "VirtualMachine";

/// What real vCenters put into one answer at most, whatever is asked for (ManageIQ#8211, node-vsphere#4).
pub(crate) const PAGE: u32 = 100;

/// One managed object with the properties that were set.
#[derive(Debug, Default)]
pub(crate) struct Object {
    pub kind: String,
    pub moref: String,
    values: Vec<(CompactString, Node)>,
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

/// Which objects.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of<'a> {
    /// One, by type and id; that it does not exist is an error.
    One(&'a str, &'a str),
    /// Those that exist.
    Each(&'a [Reference]),
    /// Those that exist, and all that they are in.
    EachAndPlaces(&'a [Reference]),
    /// A machine by its id, its host, all that they are in, and its networks.
    MachineAndPlaces(&'a str),
    View(&'a str),
}

/// Type and id of an object.
pub(crate) type Reference = (String, String);

/// Properties to read, by the objects' type (which means its descendants, too).
pub(crate) type Paths<'a> = &'a [(&'a str, &'a [&'a str])];

/// What to read of which objects, as the inside of a `PropertyFilterSpec`. The names of traversals are unique in it.
pub(crate) fn filter_spec(of: Of<'_>, what: Paths<'_>, unknown: &BTreeSet<String>) -> String {
    let property = |(kind, paths): &(&str, &[&str])| {
        let paths: String = paths
            .iter()
            .filter(|p| !unknown.contains(**p))
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
    let object = |(kind, moref): (&str, &str), skip: bool, then: &str| {
        format!(
            "<objectSet><obj type=\"{}\">{}</obj><skip>{skip}</skip>{then}</objectSet>",
            escape(kind),
            escape(moref)
        )
    };
    let again = |name: &str| format!("<selectSet><name>{name}</name></selectSet>");
    let optional = "<reportMissingObjectsInResults>true</reportMissingObjectsInResults>";
    let objects: String = match of {
        Of::One(kind, moref) => object((kind, moref), false, ""),
        Of::Each(all) => {
            let each: String = all.iter().map(|(k, m)| object((k, m), false, "")).collect();
            each + optional
        }
        Of::EachAndPlaces(all) => {
            let up = |(i, (kind, moref)): (usize, &Reference)| {
                let name = format!("up{i}");
                let then = traversal(&name, "ManagedEntity", "parent", &again(&name));
                object((kind, moref), false, &then)
            };
            let each: String = all.iter().enumerate().map(up).collect();
            each + optional
        }
        Of::MachineAndPlaces(moref) => {
            let up = again("up");
            let then = [
                traversal("up", "ManagedEntity", "parent", &up),
                traversal("host", VM, "runtime.host", &up),
                traversal("network", VM, "network", ""),
            ];
            object((VM, moref), false, &then.concat())
        }
        Of::View(view) => object(
            ("ContainerView", view),
            true,
            &traversal("view", "ContainerView", "view", ""),
        ),
    };
    properties + &objects
}

/// A read that goes on page by page: the next page is fetched while this one is looked at.
///
/// A truncated read that stays open has crashed vCenters (Icinga vspheredb#372): what is not read to its end is cancelled,
/// by [`Reading::give_up`] or when this goes.
pub(crate) struct Reading {
    vcenter: VCenter,
    record: Record,
    first: Option<Vec<Object>>,
    ahead: Option<JoinHandle<Result<Received, VsphereError>>>,
    method: &'static str,
}

impl Reading {
    fn begin(vcenter: &VCenter, call: Call, record: Record) -> Reading {
        let mut reading = Reading {
            vcenter: vcenter.clone(),
            record,
            first: None,
            ahead: None,
            method: call.method,
        };
        reading.fetch(call);
        reading
    }

    fn fetch(&mut self, call: Call) {
        let (vcenter, call) = (self.vcenter.clone(), call.record(self.record));
        self.method = call.method;
        self.ahead = Some(tokio::spawn(async move { vcenter.fetch(&call).await }));
    }

    fn fetch_next(&mut self, token: &str) {
        self.fetch(Call::new("ContinueRetrievePropertiesEx", self.vcenter.collector()).arg("token", token));
    }

    /// The next page; none after the last one.
    pub async fn next(&mut self) -> Result<Option<Vec<Object>>, VsphereError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(ahead) = self.ahead.take() else {
            return Ok(None);
        };
        let method = self.method;
        let received = fetched(&self.vcenter, method, ahead).await?;
        let early = early_token(&received.body);
        if let Some(token) = early {
            self.fetch_next(token);
        }
        let (objects, token) = self.vcenter.read_page(method, &received)?;
        match token {
            Some(token) if early.is_none() => self.fetch_next(&token),
            _ => {}
        }
        Ok(Some(objects))
    }

    /// True after the last page.
    pub fn is_over(&self) -> bool {
        self.first.is_none() && self.ahead.is_none()
    }

    /// Gives up the rest.
    pub async fn give_up(mut self) {
        if let Some(ahead) = self.ahead.take() {
            give_up(self.vcenter.clone(), self.method, ahead).await;
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let (Some(ahead), Ok(runtime)) = (self.ahead.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(give_up(self.vcenter.clone(), self.method, ahead));
        }
    }
}

async fn fetched(
    vcenter: &VCenter,
    method: &str,
    ahead: JoinHandle<Result<Received, VsphereError>>,
) -> Result<Received, VsphereError> {
    ahead.await.unwrap_or_else(|_| {
        Err(VsphereError::Parse {
            server: vcenter.server().to_owned(),
            method: method.to_owned(),
            detail: "the program ends".into(),
        })
    })
}

async fn give_up(vcenter: VCenter, method: &'static str, ahead: JoinHandle<Result<Received, VsphereError>>) {
    let Ok(received) = fetched(&vcenter, method, ahead).await else {
        return;
    };
    if let Ok((_, Some(token))) = vcenter.read_page(method, &received) {
        let call = Call::new("CancelRetrievePropertiesEx", vcenter.collector()).arg("token", token);
        if let Err(e) = vcenter.send(&call).await {
            tracing::debug!(error = %e, "a truncated read could not be cancelled");
        }
    }
}

/// The token where servers write it, before the objects: found without reading the page.
pub(crate) fn early_token(body: &str) -> Option<&str> {
    let start = body.find("<token>")? + "<token>".len();
    let (token, _) = body[start..].split_once('<')?;
    let plain = !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let before = !body[..start].contains("<objects");
    (plain && before).then_some(token)
}

impl VCenter {
    /// Begins to read. Properties that this server does not know are left out.
    pub(crate) async fn read(&self, of: Of<'_>, what: Paths<'_>, record: Record) -> Result<Reading, VsphereError> {
        loop {
            let spec = filter_spec(of, what, &self.unknown());
            let call = Call::new("RetrievePropertiesEx", self.collector())
                .xml(&format!("<specSet>{spec}</specSet>"))
                .xml(&format!("<options><maxObjects>{PAGE}</maxObjects></options>"));
            let mut reading = Reading::begin(self, call, record);
            match reading.next().await {
                Ok(first) => {
                    reading.first = first;
                    return Ok(reading);
                }
                Err(e) if self.lacks(what, &e) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Notes a property that this server turned out not to know; false when the error is another one, or no news.
    pub(crate) fn lacks(&self, what: Paths<'_>, error: &VsphereError) -> bool {
        match error {
            VsphereError::UnknownProperty { property, .. } => {
                what.iter().any(|(_, paths)| paths.contains(&property.as_str()))
                    && self.unknown().insert(property.clone())
            }
            _ => false,
        }
    }

    fn read_page(&self, method: &str, received: &Received) -> Result<(Vec<Object>, Option<String>), VsphereError> {
        let mut objects = Vec::new();
        let mut ended = None;
        let response = self.read_records(method, received, "objects", |node| {
            match object(self.server(), method, node) {
                Ok(object) => objects.extend(object),
                Err(e) => ended = Some(e),
            }
        })?;
        match ended {
            Some(e) => Err(e),
            None => Ok((
                objects,
                response.at(&["returnval", "token"]).map(|t| t.text.to_string()),
            )),
        }
    }

    /// All pages.
    pub(crate) async fn retrieve_all(
        &self,
        of: Of<'_>,
        what: Paths<'_>,
        record: Record,
    ) -> Result<Vec<Object>, VsphereError> {
        let mut reading = self.read(of, what, record).await?;
        let mut objects = Vec::new();
        while let Some(mut page) = reading.next().await? {
            objects.append(&mut page);
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
        let what: Paths = &[(kind, paths)];
        let objects = self.retrieve_all(Of::One(kind, moref), what, Record::Whole).await?;
        match objects.into_iter().next() {
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

/// Reads one `<objects>`, or the `<objectSet>` of an update. A property that the account may not see is left out, like one that is unset; an ended session
/// is an error: a server answers 200 then, with every property missing.
pub(crate) fn object(server: &str, method: &str, node: Node) -> Result<Option<Object>, VsphereError> {
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
            "obj" => {
                object.kind = child.reference.unwrap_or_default().into_string();
                object.moref = child.text.into_string();
            }
            "propSet" | "changeSet" => {
                let (mut name, mut value) = (None, None);
                for part in child.children {
                    match part.name.as_str() {
                        "name" => name = Some(part.text),
                        "val" => value = Some(part),
                        _ => {}
                    }
                }
                object.values.extend(name.zip(value));
            }
            _ => {}
        }
    }
    Ok((!object.moref.is_empty()).then_some(object))
}
