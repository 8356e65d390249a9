//! Requests in, values and faults out.

use jiff::Timestamp;
use quick_xml::{
    NsReader, XmlVersion,
    escape::escape,
    events::{BytesStart, Event},
    name::{Namespace, ResolveResult},
};
use std::fmt::Write;

const XSI: Namespace = Namespace("http://www.w3.org/2001/XMLSchema-instance");
const MAX_DEPTH: usize = 48;

/// An element of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Element {
    pub name: String,
    /// The `type` of a reference, or else the local `xsi:type`.
    pub kind: String,
    pub text: String,
    pub children: Vec<Element>,
    /// Other attributes by their local names, of a [`document`].
    pub attributes: Vec<(String, String)>,
}

impl Element {
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.name == name)
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |c| c.name == name)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.child(name).map(|c| c.text.as_str())
    }

    pub fn texts(&self, name: &str) -> Vec<String> {
        self.all(name).map(|c| c.text.clone()).collect()
    }

    pub fn object(&self, name: &str) -> Option<(String, String)> {
        self.child(name).map(|c| (c.kind.clone(), c.text.clone()))
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.text(name), Some("true" | "1"))
    }
}

/// The method's element of a SOAP request.
pub(super) fn request(document: &str) -> Result<Element, String> {
    let root = read(document, false)?;
    let body = root.child("Envelope").and_then(|e| e.child("Body"));
    body.and_then(|b| b.children.first())
        .cloned()
        .ok_or_else(|| "no SOAP body".into())
}

/// A document that stands in a request, with all attributes.
pub(super) fn document(text: &str) -> Result<Element, String> {
    let root = read(text, true)?;
    root.children.into_iter().next().ok_or_else(|| "it is empty".into())
}

/// Returns what the root is in.
fn read(document: &str, attributes: bool) -> Result<Element, String> {
    let mut reader = NsReader::from_str(document);
    let mut open: Vec<Element> = vec![Element::default()];
    loop {
        match reader.read_event().map_err(|e| e.to_string())? {
            Event::Start(start) if open.len() < MAX_DEPTH => open.push(element(&reader, &start, attributes)?),
            Event::Start(_) => return Err("elements are nested too deeply".into()),
            Event::Empty(start) => {
                let leaf = element(&reader, &start, attributes)?;
                open.last_mut().ok_or("no root")?.children.push(leaf);
            }
            Event::End(_) => {
                let done = open.pop().ok_or("no root")?;
                open.last_mut().ok_or("no root")?.children.push(done);
            }
            Event::Text(t) => open.last_mut().ok_or("no root")?.text.push_str(&t.xml10_content()),
            Event::CData(t) => open.last_mut().ok_or("no root")?.text.push_str(&t.xml10_content()),
            Event::GeneralRef(r) => {
                let c = match r.resolve_char_ref().map_err(|e| e.to_string())? {
                    Some(c) => c,
                    None => match &*r.xml10_content() {
                        "lt" => '<',
                        "gt" => '>',
                        "amp" => '&',
                        "quot" => '"',
                        "apos" => '\'',
                        _ => return Err("an unknown entity".into()),
                    },
                };
                open.last_mut().ok_or("no root")?.text.push(c);
            }
            Event::DocType(_) => return Err("a document type is not allowed".into()),
            Event::Eof => break,
            _ => {}
        }
    }
    open.into_iter().next().ok_or_else(|| "no root".into())
}

fn element(reader: &NsReader<&[u8]>, start: &BytesStart, all: bool) -> Result<Element, String> {
    let mut element = Element {
        name: start.local_name().as_ref().to_owned(),
        ..Element::default()
    };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| e.to_string())?;
        let (namespace, local) = reader.resolver().resolve_attribute(attribute.key);
        if local.as_ref() != "type" && !all {
            continue;
        }
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|e| e.to_string())?;
        match namespace {
            _ if local.as_ref() != "type" => element.attributes.push((local.as_ref().to_owned(), value.into_owned())),
            ResolveResult::Bound(XSI) if element.kind.is_empty() => {
                element.kind = value.rsplit(':').next().unwrap_or_default().to_owned();
            }
            ResolveResult::Unbound => element.kind = value.into_owned(),
            _ => {}
        }
    }
    Ok(element)
}

/// A value of the API, with its type's name.
#[derive(Debug, Clone)]
pub(super) enum Val {
    Leaf(&'static str, String),
    /// A value whose type is always written, since its field can hold anything.
    Any(Box<Val>),
    Ref(String, String),
    /// Items and their declared type, as in `ArrayOf…`.
    List(&'static str, Vec<Val>),
    Data(String, Vec<(&'static str, Val)>),
}

pub(super) fn reference(kind: &str, moref: &str) -> Val {
    Val::Ref(kind.to_owned(), moref.to_owned())
}

pub(super) fn data<const N: usize>(kind: &str, fields: [(&'static str, Val); N]) -> Val {
    Val::Data(kind.to_owned(), fields.into())
}

impl Val {
    pub fn text(text: impl Into<String>) -> Val {
        Val::Leaf("xsd:string", text.into())
    }

    pub fn int(n: impl Into<i64>) -> Val {
        Val::Leaf("xsd:int", n.into().to_string())
    }

    pub fn long(n: i64) -> Val {
        Val::Leaf("xsd:long", n.to_string())
    }

    pub fn flag(yes: bool) -> Val {
        Val::Leaf("xsd:boolean", yes.to_string())
    }

    pub fn time(at: Timestamp) -> Val {
        Val::Leaf("xsd:dateTime", format!("{at:.6}"))
    }

    pub fn of(kind: &'static str, word: &str) -> Val {
        Val::Leaf(kind, word.to_owned())
    }

    pub fn refs(all: impl IntoIterator<Item = (String, String)>) -> Val {
        Val::List(
            "ManagedObjectReference",
            all.into_iter().map(|(k, m)| Val::Ref(k, m)).collect(),
        )
    }

    /// Follows a property path.
    pub fn at(&self, path: &str) -> Option<&Val> {
        let Val::Data(_, fields) = self else { return None };
        let (first, rest) = path.split_once('.').map_or((path, None), |(f, r)| (f, Some(r)));
        let value = fields.iter().find(|(name, _)| *name == first).map(|(_, v)| v)?;
        rest.map_or(Some(value), |rest| value.at(rest))
    }

    /// References in it.
    pub fn references(&self) -> Vec<(String, String)> {
        match self {
            Val::Ref(kind, moref) => vec![(kind.clone(), moref.clone())],
            Val::List(_, items) => items.iter().flat_map(Val::references).collect(),
            _ => vec![],
        }
    }

    /// As an element of a declared type; lists become several elements.
    pub fn element(&self, name: &str) -> String {
        let mut out = String::new();
        self.write(&mut out, name, false);
        out
    }

    /// As a property's value, whose type the reader doesn't know.
    pub fn property(&self, name: &str) -> String {
        let mut out = String::new();
        match self {
            Val::List(item, items) => {
                let inner = match *item {
                    "xsd:string" => ("ArrayOfString", "string"),
                    other => ("", other),
                };
                let array = if inner.0.is_empty() {
                    format!("ArrayOf{item}")
                } else {
                    inner.0.to_owned()
                };
                let _ = write!(out, "<{name} xsi:type=\"{array}\">");
                for i in items {
                    i.write(&mut out, inner.1, false);
                }
                let _ = write!(out, "</{name}>");
            }
            _ => self.write(&mut out, name, true),
        }
        out
    }

    fn write(&self, out: &mut String, name: &str, typed: bool) {
        let _ = match self {
            Val::Leaf(kind, text) if typed => write!(out, "<{name} xsi:type=\"{kind}\">{}</{name}>", escape(text)),
            Val::Leaf(_, text) => write!(out, "<{name}>{}</{name}>", escape(text)),
            Val::Any(value) => {
                value.write(out, name, true);
                Ok(())
            }
            Val::Ref(kind, moref) => {
                let xsi = if typed {
                    " xsi:type=\"ManagedObjectReference\""
                } else {
                    ""
                };
                write!(out, "<{name} type=\"{}\"{xsi}>{}</{name}>", escape(kind), escape(moref))
            }
            Val::List(_, items) => {
                items.iter().for_each(|i| i.write(out, name, false));
                Ok(())
            }
            Val::Data(kind, fields) => {
                let _ = write!(out, "<{name} xsi:type=\"{kind}\">");
                fields.iter().for_each(|(field, value)| value.write(out, field, false));
                write!(out, "</{name}>")
            }
        };
    }
}

/// A fault: its type, the server's words, its fields.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    kind: String,
    message: String,
    fields: Vec<(&'static str, Val)>,
}

impl Fault {
    pub fn new(kind: &str, message: &str) -> Fault {
        Fault {
            kind: kind.into(),
            message: message.into(),
            fields: vec![],
        }
    }

    pub fn with(mut self, field: &'static str, value: Val) -> Fault {
        self.fields.push((field, value));
        self
    }

    pub fn argument(property: &str) -> Fault {
        Fault::new(
            "InvalidArgument",
            &format!("A specified parameter was not correct: {property}"),
        )
        .with("invalidProperty", Val::text(property))
    }

    pub fn not_found(object: &(String, String)) -> Fault {
        let words = format!(
            "The object '{}:{}' has already been deleted or has not been completely created",
            object.0, object.1
        );
        Fault::new("ManagedObjectNotFound", &words).with("obj", reference(&object.0, &object.1))
    }

    pub fn not_authenticated(object: &(String, String)) -> Fault {
        Fault::new("NotAuthenticated", "The session is not authenticated.")
            .with("object", reference(&object.0, &object.1))
            .with("privilegeId", Val::text("System.View"))
    }

    pub fn xml(&self) -> String {
        let (kind, message) = (&self.kind, escape(&self.message));
        let fields: String = self.fields.iter().map(|(name, value)| value.element(name)).collect();
        format!(
            "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>{message}</faultstring><detail>\
             <{kind}Fault xmlns=\"urn:vim25\" xsi:type=\"{kind}\">{fields}</{kind}Fault></detail></soapenv:Fault>"
        )
    }

    /// As `LocalizedMethodFault`.
    pub fn localized(&self) -> Val {
        let fault = Val::Data(self.kind.clone(), self.fields.clone());
        data(
            "LocalizedMethodFault",
            [("fault", fault), ("localizedMessage", Val::text(self.message.as_str()))],
        )
    }
}

pub(super) fn envelope(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <soapenv:Envelope xmlns:soapenc=\"http://schemas.xmlsoap.org/soap/encoding/\" \
         xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n<soapenv:Body>\n{body}\n</soapenv:Body>\n</soapenv:Envelope>"
    )
}
