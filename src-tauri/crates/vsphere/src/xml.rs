//! Reads SOAP answers into small trees, one repeated element at a time.
//!
//! An inventory page holds hundreds of `<objects>`; each is handed over and dropped as soon as its end tag is read, so that
//! memory follows one object and not the page's tree. Types are read by namespace, since the prefix of `xsi:type` differs
//! between servers, and a reference has both `xsi:type` and `type`. Answers come from a machine that may be anybody's:
//! no document type, no entities but the five of XML and numeric ones, and limits on depth and attributes
//! (the size is limited where the answer is received).

use compact_str::CompactString;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::{NsReader, XmlVersion};

const XSI: Namespace = Namespace("http://www.w3.org/2001/XMLSchema-instance");
/// vSphere's own answers stay below twenty.
pub(crate) const MAX_DEPTH: usize = 64;
const MAX_ATTRIBUTES: usize = 32;

/// One element: local names only, since every element of an answer is in one of two namespaces.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Node {
    pub name: CompactString,
    /// Local part of `xsi:type`.
    pub kind: Option<CompactString>,
    /// Plain `type` attribute: the managed object's type of a reference.
    pub reference: Option<CompactString>,
    pub text: CompactString,
    pub children: Vec<Node>,
    /// Other attributes by their local names, when they were asked for ([`whole`]).
    pub attributes: Vec<(String, String)>,
}

impl Node {
    /// Value of an attribute; none when it is absent or empty.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(n, _)| n == name);
        found.map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    pub fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|c| c.name == name)
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Node> {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// Text of a child; none when it is absent or empty.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|c| c.text.as_str()).filter(|t| !t.is_empty())
    }

    /// Follows child names from here.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, name| node.child(name))
    }
}

/// Parses a document. Every element called `record` is given to `each` instead of being kept in the returned tree.
///
/// # Errors
/// In words, when the document is not well-formed or goes beyond the limits.
pub(crate) fn parse(document: &str, record: &str, each: impl FnMut(Node)) -> Result<Node, String> {
    read(document, record, false, each)
}

/// Parses a document with all attributes, as descriptors of machines have them.
///
/// # Errors
/// See [`parse`].
pub(crate) fn whole(document: &str) -> Result<Node, String> {
    read(document, "\0", true, |_| {})
}

fn read(document: &str, record: &str, attributes: bool, mut each: impl FnMut(Node)) -> Result<Node, String> {
    let mut reader = NsReader::from_str(document);
    let mut open: Vec<Node> = Vec::new();
    let mut root = None;
    loop {
        let event = reader
            .read_event()
            .map_err(|e| format!("at byte {}: {e}", reader.buffer_position()))?;
        let finished = match event {
            Event::Start(start) => {
                if open.len() == MAX_DEPTH || root.is_some() {
                    return Err(format!(
                        "at byte {}: elements nested too deeply, or a second root",
                        reader.buffer_position()
                    ));
                }
                open.push(element(&reader, &start, attributes)?);
                None
            }
            Event::Empty(start) => Some(element(&reader, &start, attributes)?),
            Event::End(_) => open.pop(),
            Event::Text(text) => {
                if let Some(node) = open.last_mut() {
                    node.text.push_str(&text.xml10_content());
                }
                None
            }
            Event::CData(text) => {
                if let Some(node) = open.last_mut() {
                    node.text.push_str(&text.xml10_content());
                }
                None
            }
            Event::GeneralRef(reference) => {
                let character = match reference.resolve_char_ref().map_err(|e| e.to_string())? {
                    Some(c) => c,
                    None => match &*reference.xml10_content() {
                        "lt" => '<',
                        "gt" => '>',
                        "amp" => '&',
                        "quot" => '"',
                        "apos" => '\'',
                        other => {
                            return Err(format!(
                                "unknown entity {:?}",
                                other.chars().take(40).collect::<String>()
                            ));
                        }
                    },
                };
                if let Some(node) = open.last_mut() {
                    node.text.push(character);
                }
                None
            }
            Event::DocType(_) => return Err("a document type is not allowed".into()),
            Event::Comment(_) | Event::PI(_) | Event::Decl(_) => None,
            Event::Eof => break,
        };
        if let Some(mut node) = finished {
            if !node.children.is_empty() {
                node.text.clear();
            }
            match open.last_mut() {
                _ if node.name == record => each(node),
                Some(parent) => parent.children.push(node),
                None => root = Some(node),
            }
        }
    }
    if !open.is_empty() {
        return Err("the document ends too early".into());
    }
    root.ok_or_else(|| "the document is empty".into())
}

fn element(reader: &NsReader<&[u8]>, start: &BytesStart, all: bool) -> Result<Node, String> {
    let mut node = Node {
        name: start.local_name().as_ref().into(),
        ..Node::default()
    };
    for (i, attribute) in start.attributes().enumerate() {
        let attribute = attribute.map_err(|e| e.to_string())?;
        if i == MAX_ATTRIBUTES {
            return Err("an element with too many attributes".into());
        }
        let (namespace, local) = reader.resolver().resolve_attribute(attribute.key);
        if local.as_ref() != "type" && !all {
            continue;
        }
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|e| e.to_string())?;
        match namespace {
            _ if local.as_ref() != "type" || all && namespace != ResolveResult::Bound(XSI) => {
                node.attributes.push((local.as_ref().to_owned(), value.into_owned()));
            }
            ResolveResult::Bound(XSI) => {
                node.kind = Some(value.rsplit_once(':').map_or(&*value, |(_, local)| local).into());
            }
            ResolveResult::Unbound => node.reference = Some(value.as_ref().into()),
            _ => {}
        }
    }
    Ok(node)
}

/// Writes an element of an answer into a request, under another name. Its types are of vSphere's own namespace, which the
/// request's is too, or plain ones of XML Schema, whose names begin with a small letter.
pub(crate) fn write(node: &Node, name: &str, out: &mut String) {
    out.push('<');
    out.push_str(name);
    if let Some(kind) = &node.kind {
        let space = if kind.starts_with(char::is_lowercase) {
            "xsd:"
        } else {
            ""
        };
        out.push_str(&format!(" xsi:type=\"{space}{}\"", escape(kind)));
    }
    if let Some(reference) = &node.reference {
        out.push_str(&format!(" type=\"{}\"", escape(reference)));
    }
    out.push('>');
    out.push_str(&escape(&node.text));
    for child in &node.children {
        write(child, &child.name, out);
    }
    out.push_str(&format!("</{name}>"));
}

/// Escapes text for a request.
pub(crate) fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(document: &str) -> Result<Node, String> {
        parse(document, "\0", |_| {})
    }

    #[test]
    fn types_are_read_by_namespace_not_by_prefix() {
        let real = r#"<v xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="ManagedObjectReference" type="HostSystem">host-1</v>"#;
        let simulator = r#"<v xmlns:X="http://www.w3.org/2001/XMLSchema-instance" X:type="vim25:ManagedObjectReference" type="HostSystem">host-1</v>"#;
        for document in [real, simulator] {
            let node = whole(document).unwrap();
            assert_eq!(node.kind.as_deref(), Some("ManagedObjectReference"));
            assert_eq!(node.reference.as_deref(), Some("HostSystem"));
            assert_eq!(node.text, "host-1");
        }
    }

    #[test]
    fn references_in_text_are_kept() {
        assert_eq!(
            whole("<a>R&amp;D &#x41;&lt;<![CDATA[<b>]]></a>").unwrap().text,
            "R&D A<<b>"
        );
    }

    #[test]
    fn records_are_handed_over_and_not_kept() {
        let mut names = Vec::new();
        let rest = parse("<r><token>0</token><o><n>a</n></o><o><n>b</n></o></r>", "o", |n| {
            names.push(n.children[0].text.clone())
        });
        assert_eq!(names, ["a", "b"]);
        assert_eq!(rest.unwrap().text_of("token"), Some("0"));
    }

    #[test]
    fn what_was_read_is_written_the_same() {
        let xml = "<a xsi:type=\"VirtualDisk\"><k xsi:type=\"xsd:int\">1</k><r type=\"Network\">n-1</r><e></e><t>R&amp;D</t></a>";
        let document = xml.replacen("<a ", "<a xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" ", 1);
        let mut out = String::new();
        write(&whole(&document).unwrap(), "a", &mut out);
        assert_eq!(out, xml);
    }

    #[test]
    fn attributes_are_kept_when_asked_for() {
        let document = "<a xmlns:o='urn:o' o:id='x&amp;y' type='string' o:type='z'/>";
        let all = super::whole(document).unwrap();
        assert_eq!(
            (all.attribute("id"), all.attribute("type")),
            (Some("x&y"), Some("string"))
        );
        assert!(whole(document).unwrap().attributes.is_empty());
    }

    #[test]
    fn hostile_documents_are_refused() {
        let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
        let attributes = format!("<a {}/>", (0..1000).map(|i| format!("a{i}='' ")).collect::<String>());
        for document in [
            "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
            "<a>&b;</a>",
            "<a>&#0;</a>",
            "<a><b></a></b>",
            "<a>",
            "<a/><b><c/></b>",
            "",
            &deep,
            &attributes,
        ] {
            assert!(whole(document).is_err(), "{}", &document[..document.len().min(60)]);
        }
    }
}
