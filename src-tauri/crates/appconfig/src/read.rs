//! Finds the connection strings in a file, with where they stand.

use crate::bytes::{Charset, decode};
use quick_xml::{
    Reader,
    escape::{resolve_xml_entity, unescape_with},
    events::Event,
};
use secrets::Secret;
use std::{collections::HashSet, ops::Range};

/// A larger file is no configuration.
pub const MAX_BYTES: usize = 4 << 20;
const MAX_DEPTH: usize = 128;
const MAX_ATTRIBUTES: usize = 256;
const TRANSFORM: &str = "http://schemas.microsoft.com/XML-Document-Transform";

/// Why a file can't be read. Holds nothing of the file but names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    #[error("The file has {0} bytes; a configuration has at most {MAX_BYTES}.")]
    Large(usize),
    #[error("Its encoding {0} is not supported. Save it as UTF-8, which every version of IIS reads.")]
    Charset(String),
    #[error("Near byte {0} it is not in the encoding that it names. Save it as UTF-8.")]
    Lossy(usize),
    #[error(
        "In line {0} it declares a document type, which no configuration needs and which can hide other files. Remove the declaration."
    )]
    DocumentType(usize),
    #[error("In line {0} it is not well-formed XML: {1}.")]
    Malformed(usize, String),
    #[error("Its root is <{0}>; a configuration's is <configuration>, or that of one section.")]
    Root(String),
}

/// Where in a configuration a connection string stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    ConnectionStrings,
    AppSettings,
    /// `<setting name="…"><value>…`.
    Setting,
}

impl Place {
    /// Name of the section.
    pub fn name(self) -> &'static str {
        match self {
            Place::ConnectionStrings => "connectionStrings",
            Place::AppSettings => "appSettings",
            Place::Setting => "setting",
        }
    }
}

/// How a text is written in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// In this quotation mark.
    Attribute(char),
    Text,
    /// The range covers the whole `<![CDATA[…]]>`.
    CData,
    /// Broken up by comments or elements.
    Mixed,
}

/// A text that is a connection string by its place, or may be one.
#[derive(Debug, Clone)]
pub struct ConnectionText {
    pub place: Place,
    pub name: String,
    /// The `path` of the `<location>` around it.
    pub location: Option<String>,
    /// 1 for the first.
    pub line: usize,
    pub provider: Option<String>,
    /// As the application reads it.
    pub value: Secret<String>,
    pub(crate) form: Form,
    pub(crate) range: Range<usize>,
}

/// A section that is in another file, relative to this one's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    pub section: String,
    pub path: String,
}

/// An encrypted section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protected {
    pub section: String,
    pub provider: String,
}

/// What is known of one file.
#[derive(Debug)]
pub struct Config {
    pub texts: Vec<ConnectionText>,
    pub external: Vec<External>,
    pub protected: Vec<Protected>,
    /// Sections whose values something else replaces when the application starts.
    pub built: Vec<Protected>,
    /// It is a transform (`web.Release.config`): it changes another file when the application is published.
    pub transform: bool,
    pub(crate) charset: Charset,
    pub(crate) mark: usize,
    pub(crate) text: Secret<String>,
    pub(crate) bytes: Secret<Vec<u8>>,
}

/// One attribute: name, value as written, where, and its quotation mark.
struct Attribute<'a> {
    name: &'a str,
    raw: &'a str,
    range: Range<usize>,
    mark: char,
}

/// An open element.
struct Open {
    name: String,
    location: Option<String>,
    /// Of a `<setting>` or its `<value>`: the name.
    setting: Option<String>,
    content: usize,
    pieces: Vec<(Form, Range<usize>, String)>,
}

struct Scan<'a> {
    text: &'a str,
    config: Config,
    open: Vec<Open>,
}

/// Reads a file.
///
/// # Errors
/// [`BadConfig`].
pub fn read(bytes: &[u8]) -> Result<Config, BadConfig> {
    if bytes.len() > MAX_BYTES {
        return Err(BadConfig::Large(bytes.len()));
    }
    let (charset, mark, text) = decode(bytes)?;
    if let Some(at) = text.find(|c| !is_character(c)) {
        let line = 1 + text.bytes().take(at).filter(|b| *b == b'\n').count();
        return Err(BadConfig::Malformed(line, NO_CHARACTER.into()));
    }
    let config = Config {
        texts: vec![],
        external: vec![],
        protected: vec![],
        built: vec![],
        transform: false,
        charset,
        mark,
        text: Secret::new(text.clone()),
        bytes: Secret::new(bytes.to_vec()),
    };
    let mut scan = Scan {
        text: &text,
        config,
        open: vec![],
    };
    scan.run()?;
    Ok(scan.config)
}

impl Scan<'_> {
    fn line(&self, at: usize) -> usize {
        1 + self.text.as_bytes().iter().take(at).filter(|b| **b == b'\n').count()
    }

    fn bad(&self, at: usize, why: impl Into<String>) -> BadConfig {
        BadConfig::Malformed(self.line(at), why.into())
    }

    fn run(&mut self) -> Result<(), BadConfig> {
        let whole = self.text;
        let mut reader = Reader::from_str(whole);
        let mut rooted = false;
        loop {
            let from = position(&reader);
            // The library's words may quote the file.
            let event = reader
                .read_event()
                .map_err(|_| self.bad(position(&reader), "a tag, entity or comment is wrong or not closed"))?;
            let to = position(&reader);
            match event {
                Event::DocType(_) => return Err(BadConfig::DocumentType(self.line(from))),
                Event::Start(_) | Event::Empty(_) => {
                    let empty = matches!(event, Event::Empty(_));
                    if self.open.is_empty() && std::mem::replace(&mut rooted, true) {
                        return Err(self.bad(from, "there is a second root"));
                    }
                    if self.open.len() >= MAX_DEPTH {
                        return Err(self.bad(from, format!("elements are nested deeper than {MAX_DEPTH}")));
                    }
                    self.element(from, to)?;
                    if empty {
                        self.open.pop();
                    }
                }
                Event::End(_) => self.close(from)?,
                Event::Text(_) => {
                    let raw = whole.get(from..to).unwrap_or_default();
                    if self.open.is_empty() && !raw.trim().is_empty() {
                        return Err(self.bad(from, "text stands outside of the root"));
                    }
                    self.piece(Form::Text, from..to, raw.to_owned());
                }
                Event::GeneralRef(_) => {
                    let raw = whole.get(from..to).unwrap_or_default();
                    let value = self.plain(from, raw)?;
                    self.piece(Form::Text, from..to, value);
                }
                Event::CData(_) => {
                    let raw = whole.get(from..to).unwrap_or_default();
                    let inner = raw.strip_prefix("<![CDATA[").and_then(|r| r.strip_suffix("]]>"));
                    self.piece(Form::CData, from..to, inner.unwrap_or_default().to_owned());
                }
                Event::Comment(_) | Event::PI(_) => self.piece(Form::Mixed, from..to, String::new()),
                Event::Decl(_) => {}
                Event::Eof => break,
            }
        }
        match (self.open.last(), rooted) {
            (Some(open), _) => Err(self.bad(whole.len(), format!("<{}> is not closed", open.name))),
            (None, false) => Err(self.bad(1, "there is no element")),
            (None, true) => Ok(()),
        }
    }

    /// Without references. An unknown entity is refused: without a document type there is none.
    fn plain(&self, at: usize, raw: &str) -> Result<String, BadConfig> {
        if !raw.contains('&') {
            return Ok(raw.to_owned());
        }
        let known = |name: &str| resolve_xml_entity(name);
        let value = unescape_with(raw, known).map_err(|_| self.bad(at, "an entity is not one of XML's five"))?;
        if !value.chars().all(is_character) {
            return Err(self.bad(at, NO_CHARACTER));
        }
        Ok(value.into_owned())
    }

    /// White space that stands in an attribute as itself is a space to every XML reader; as a reference it stays.
    fn attribute(&self, at: usize, raw: &str) -> Result<String, BadConfig> {
        self.plain(at, &raw.replace("\r\n", " ").replace(['\t', '\r', '\n'], " "))
    }

    fn piece(&mut self, form: Form, range: Range<usize>, value: String) {
        if let Some(open) = self.open.last_mut().filter(|o| o.setting.is_some()) {
            open.pieces.push((form, range, value));
        }
    }

    /// The attributes of a tag. What stands there was read by the library already; this adds where.
    fn attributes(&self, from: usize, to: usize) -> Result<(&str, Vec<Attribute<'_>>), BadConfig> {
        let tag = self.text.get(from..to).unwrap_or_default();
        let inner = tag
            .strip_prefix('<')
            .and_then(|t| t.strip_suffix('>'))
            .unwrap_or_default();
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let white = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
        let end = inner.find(white).unwrap_or(inner.len());
        let (name, mut rest) = inner.split_at(end);
        if name.is_empty() || name.contains(['<', '=', '"', '\'', '&']) {
            return Err(self.bad(from, "an element's name is wrong"));
        }
        let mut found: Vec<Attribute> = vec![];
        let mut seen = HashSet::new();
        loop {
            let after = rest.trim_start_matches(white);
            if after.is_empty() {
                return Ok((name, found));
            }
            let wrong = || self.bad(from, "an attribute is wrong");
            if after.len() == rest.len() {
                return Err(wrong());
            }
            let (key, value) = after.split_once('=').ok_or_else(wrong)?;
            let key = key.trim_end_matches(white);
            let value = value.trim_start_matches(white);
            let mark = value
                .chars()
                .next()
                .filter(|c| matches!(c, '"' | '\''))
                .ok_or_else(wrong)?;
            let raw = value.get(1..).and_then(|v| v.split(mark).next()).unwrap_or_default();
            let bad_key = key.is_empty() || key.contains(['"', '\'', '<', '&']) || key.contains(white);
            if bad_key || raw.contains('<') || !value.get(1 + raw.len()..).is_some_and(|v| v.starts_with(mark)) {
                return Err(wrong());
            }
            if !seen.insert(key) || found.len() >= MAX_ATTRIBUTES {
                return Err(self.bad(from, "an attribute stands twice, or there are too many"));
            }
            rest = value.get(raw.len() + 2..).unwrap_or_default();
            let end = from + 1 + inner.len() - rest.len() - 1;
            found.push(Attribute {
                name: key,
                raw,
                range: end - raw.len()..end,
                mark,
            });
        }
    }

    fn element(&mut self, from: usize, to: usize) -> Result<(), BadConfig> {
        let (name, attributes) = self.attributes(from, to)?;
        let name = name.to_owned();
        let value = |key: &str| -> Result<Option<String>, BadConfig> {
            let found = attributes.iter().find(|a| a.name == key);
            found.map(|a| self.attribute(from, a.raw)).transpose()
        };
        for a in attributes.iter().filter(|a| a.name.starts_with("xmlns")) {
            if a.raw == TRANSFORM {
                // Borrowed until here; set below.
                return self.transform(name, to);
            }
        }
        // Every value must be readable, or the application would not start either.
        for a in &attributes {
            self.plain(from, a.raw)?;
        }
        let parent = self.open.last();
        let inside = |section: &str| parent.is_some_and(|p| p.name == section);
        let location = parent.and_then(|p| p.location.clone());
        let mut texts = vec![];
        let mut text = |place: Place, key: &str, attribute: &str| -> Result<(), BadConfig> {
            if let (Some(key), Some(a)) = (value(key)?, attributes.iter().find(|a| a.name == attribute)) {
                texts.push(ConnectionText {
                    place,
                    name: key,
                    location: location.clone(),
                    line: self.line(a.range.start),
                    provider: value("providerName")?,
                    value: Secret::new(self.attribute(from, a.raw)?),
                    form: Form::Attribute(a.mark),
                    range: a.range.clone(),
                });
            }
            Ok(())
        };
        match name.as_str() {
            "add" if inside("connectionStrings") => text(Place::ConnectionStrings, "name", "connectionString")?,
            "add" if inside("appSettings") => text(Place::AppSettings, "key", "value")?,
            _ => {}
        }
        let section = matches!(name.as_str(), "connectionStrings" | "appSettings");
        let (mut external, mut protected, mut built) = (vec![], vec![], vec![]);
        if section {
            let source = [value("configSource")?, value("file")?];
            external.extend(source.into_iter().flatten().map(|path| External {
                section: name.clone(),
                path,
            }));
            let known = |provider: String| Protected {
                section: name.clone(),
                provider,
            };
            protected.extend(value("configProtectionProvider")?.map(known));
            built.extend(value("configBuilders")?.map(known));
        } else if name == "EncryptedData" && inside("connectionStrings") && self.config.protected.is_empty() {
            protected.push(Protected {
                section: "connectionStrings".into(),
                provider: String::new(),
            });
        }
        if parent.is_none() && !section && name != "configuration" {
            return Err(BadConfig::Root(name));
        }
        let setting = match name.as_str() {
            "setting" => value("name")?,
            "value" if inside("setting") => parent.and_then(|p| p.setting.clone()),
            _ => None,
        };
        let location = match name.as_str() {
            "location" => Some(value("path")?.unwrap_or_default()),
            _ => location,
        };
        self.config.texts.extend(texts);
        self.config.external.extend(external);
        self.config.protected.extend(protected);
        self.config.built.extend(built);
        self.piece(Form::Mixed, from..to, String::new());
        self.open.push(Open {
            name,
            location,
            setting,
            content: to,
            pieces: vec![],
        });
        Ok(())
    }

    fn transform(&mut self, name: String, to: usize) -> Result<(), BadConfig> {
        self.config.transform = true;
        self.open.push(Open {
            name,
            location: None,
            setting: None,
            content: to,
            pieces: vec![],
        });
        Ok(())
    }

    fn close(&mut self, from: usize) -> Result<(), BadConfig> {
        let Some(done) = self.open.pop() else {
            return Err(self.bad(from, "an element is closed that was not opened"));
        };
        let Some(name) = done.setting.filter(|_| done.name == "value") else {
            return Ok(());
        };
        let blank = |(form, _, value): &&(Form, Range<usize>, String)| *form == Form::Text && value.trim().is_empty();
        let written: Vec<_> = done.pieces.iter().filter(|p| !blank(p)).collect();
        let (form, range) = match written.as_slice() {
            [] => return Ok(()),
            [(Form::CData, range, _)] => (Form::CData, range.clone()),
            all if all.iter().all(|p| p.0 == Form::Text) => (Form::Text, done.content..from),
            _ => (Form::Mixed, done.content..from),
        };
        let value: String = done.pieces.iter().map(|p| p.2.as_str()).collect();
        self.config.texts.push(ConnectionText {
            place: Place::Setting,
            name,
            location: done.location,
            line: self.line(range.start),
            provider: None,
            value: Secret::new(value),
            form,
            range,
        });
        Ok(())
    }
}

const NO_CHARACTER: &str = "it holds a character that XML has no way to write";

/// What XML 1.0 calls a character; no reader takes another one, not even as a reference.
fn is_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r') || (c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}'))
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}
