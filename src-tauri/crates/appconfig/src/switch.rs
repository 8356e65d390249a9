//! The change to one file: byte ranges, bound to the file by its SHA-256.

use crate::{
    BadConfig, Config, ConnectionText, Finding, Place,
    read::{Form, read},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrets::Secret;
use sha2::{Digest, Sha256};
use sqlserver::{
    Target,
    connection::{ConnectionString, keys},
};
use std::{collections::BTreeMap, fmt};

/// What is to be switched, and to what.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// All names of the source server.
    pub sources: Vec<Target>,
    /// The databases that were moved, each with its new address, name, sign-in and encryption.
    pub databases: Vec<(String, ConnectionString)>,
    /// The string that must be among the switched ones; empty: any.
    pub name: String,
}

/// One byte range.
#[derive(Debug, Clone)]
pub struct Edit {
    /// Where it begins in the file as it was.
    pub at: usize,
    pub was: Secret<Vec<u8>>,
    pub is: Secret<Vec<u8>>,
}

/// One switched string, for people: passwords are hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub place: Place,
    pub name: String,
    pub location: Option<String>,
    pub line: usize,
    pub was: String,
    pub is: String,
}

/// The whole change to a file.
#[derive(Debug, Clone)]
pub struct Switch {
    /// SHA-256, lower-case hex, of the file it was computed for.
    pub before: String,
    /// SHA-256 of the file with the change in it.
    pub after: String,
    pub edits: Vec<Edit>,
    pub changes: Vec<Change>,
    /// Names of strings that say already what is wanted.
    pub already: Vec<String>,
    pub findings: Vec<Finding>,
}

/// The file is not the one that the change was computed for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("The file has changed since it was read: its SHA-256 is {found}, not {wanted}.")]
pub struct Mismatch {
    pub found: String,
    pub wanted: String,
}

/// How a connection string relates to what is wanted.
enum Leads<'a> {
    /// To a database that was moved, whose new string this is.
    Here(&'a ConnectionString),
    Elsewhere,
    Doubt(Finding),
}

impl Switch {
    /// Computes the change. A file with nothing to change gives no edits and `before == after`.
    ///
    /// # Errors
    /// [`BadConfig`] when the changed file could not be read again as what is wanted; nothing should be done then.
    pub fn compute(config: &Config, wanted: &Wanted) -> Result<Switch, BadConfig> {
        let mut switch = Switch {
            before: hash(config.bytes.expose()),
            after: String::new(),
            edits: vec![],
            changes: vec![],
            already: vec![],
            findings: vec![],
        };
        if config.transform {
            switch.findings.push(Finding::Transform);
        } else {
            let encrypted = config.protected.iter().map(|p| Finding::Encrypted {
                section: p.section.clone(),
                provider: p.provider.clone(),
            });
            let built = config.built.iter().map(|b| Finding::Built {
                section: b.section.clone(),
                builder: b.provider.clone(),
            });
            switch.findings.extend(encrypted.chain(built));
            for text in &config.texts {
                switch.add(config, text, wanted);
            }
        }
        let mut times = BTreeMap::<&str, usize>::new();
        for change in &switch.changes {
            *times.entry(&change.name).or_default() += 1;
        }
        let twice = times.into_iter().filter(|(_, n)| *n > 1);
        let twice: Vec<_> = twice
            .map(|(name, times)| Finding::Twice {
                name: name.to_owned(),
                times,
            })
            .collect();
        switch.findings.extend(twice);
        let changed = switch.splice(config.bytes.expose());
        switch.after = hash(&changed);
        if !switch.edits.is_empty() {
            // Proves itself: read again, there is nothing left to do.
            let again = read(&changed)?;
            let done = |t: &ConnectionText| match leads(t, wanted) {
                Leads::Here(to) => same(t, to),
                _ => true,
            };
            if again.texts.len() != config.texts.len() || !again.texts.iter().all(done) {
                return Err(BadConfig::Malformed(
                    1,
                    "the switched string would not be read as it was meant".into(),
                ));
            }
        }
        Ok(switch)
    }

    fn add(&mut self, config: &Config, text: &ConnectionText, wanted: &Wanted) {
        match leads(text, wanted) {
            Leads::Elsewhere => {}
            Leads::Doubt(finding) => self.findings.push(finding),
            Leads::Here(to) if same(text, to) => self.already.push(text.name.clone()),
            Leads::Here(to) => {
                let Ok(old) = ConnectionString::parse(text.value.expose()) else {
                    return;
                };
                let mut new = old.clone();
                new.redirect(to);
                let is = config
                    .charset
                    .encode(&write(new.write().expose(), text.form, config.charset.is_unicode()));
                let bytes = |at: usize| {
                    let before = config.text.expose().get(..at).unwrap_or_default();
                    config.mark + config.charset.encode(before).len()
                };
                let (from, to) = (bytes(text.range.start), bytes(text.range.end));
                self.edits.push(Edit {
                    at: from,
                    was: Secret::new(config.bytes.expose().get(from..to).unwrap_or_default().to_vec()),
                    is: Secret::new(is),
                });
                self.edits.sort_by_key(|e| e.at);
                self.changes.push(Change {
                    place: text.place,
                    name: text.name.clone(),
                    location: text.location.clone(),
                    line: text.line,
                    was: old.shown(),
                    is: new.shown(),
                });
            }
        }
    }

    fn splice(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        let mut at = 0;
        for edit in &self.edits {
            out.extend_from_slice(bytes.get(at..edit.at).unwrap_or_default());
            out.extend_from_slice(edit.is.expose());
            at = edit.at + edit.was.expose().len();
        }
        out.extend_from_slice(bytes.get(at..).unwrap_or_default());
        out
    }

    /// The file with the change in it.
    ///
    /// # Errors
    /// [`Mismatch`] when it is another file.
    pub fn apply(&self, bytes: &[u8]) -> Result<Vec<u8>, Mismatch> {
        must(bytes, &self.before)?;
        Ok(self.splice(bytes))
    }

    /// The file as it was, byte for byte.
    ///
    /// # Errors
    /// [`Mismatch`] when it is not the file that [`Switch::apply`] gave.
    pub fn undo(&self, bytes: &[u8]) -> Result<Vec<u8>, Mismatch> {
        must(bytes, &self.after)?;
        let mut out = vec![];
        let (mut at, mut moved) = (0, 0_usize);
        for edit in &self.edits {
            // `moved` is how far what lies behind the earlier edits has moved, modulo the word.
            let from = edit.at.wrapping_add(moved);
            out.extend_from_slice(bytes.get(at..from).unwrap_or_default());
            out.extend_from_slice(edit.was.expose());
            at = from + edit.is.expose().len();
            moved = moved
                .wrapping_add(edit.is.expose().len())
                .wrapping_sub(edit.was.expose().len());
        }
        out.extend_from_slice(bytes.get(at..).unwrap_or_default());
        Ok(out)
    }
}

/// The change to several files as one parameter of the script that writes them: base64 of lines
/// `file PATH BEFORE AFTER` and `edit AT LENGTH BYTES`, path and bytes in base64 again.
pub fn parameter<'a>(files: impl IntoIterator<Item = (&'a str, &'a Switch)>) -> Secret<String> {
    let mut lines = String::new();
    for (path, switch) in files {
        lines += &format!("file {} {} {}\n", STANDARD.encode(path), switch.before, switch.after);
        for e in &switch.edits {
            lines += &format!(
                "edit {} {} {}\n",
                e.at,
                e.was.expose().len(),
                STANDARD.encode(e.is.expose())
            );
        }
    }
    Secret::new(STANDARD.encode(lines))
}

/// What is missing when all files of an application are looked at together; none when the string that counts is switched,
/// or was before.
pub fn lacking<'a>(files: impl IntoIterator<Item = &'a Switch>, name: &str) -> Option<Finding> {
    let mut found = files
        .into_iter()
        .flat_map(|s| s.changes.iter().map(|c| &c.name).chain(&s.already));
    match name {
        "" if found.next().is_none() => Some(Finding::NoneFound),
        "" => None,
        name if found.any(|n| n == name) => None,
        name => Some(Finding::NameMissing(name.to_owned())),
    }
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn must(bytes: &[u8], wanted: &str) -> Result<(), Mismatch> {
    let found = hash(bytes);
    if found == wanted {
        return Ok(());
    }
    Err(Mismatch {
        found,
        wanted: wanted.to_owned(),
    })
}

/// Whether it says already what is wanted.
fn same(text: &ConnectionText, to: &ConnectionString) -> bool {
    ConnectionString::parse(text.value.expose()).is_ok_and(|old| {
        let mut new = old.clone();
        new.redirect(to);
        new.write() == old.write()
    })
}

fn leads<'a>(text: &ConnectionText, wanted: &'a Wanted) -> Leads<'a> {
    let (line, name) = (text.line, text.name.clone());
    let sure = text.place == Place::ConnectionStrings;
    let read = match ConnectionString::parse(text.value.expose()) {
        Ok(read) => read,
        // A setting that merely looks like one is none.
        Err(_) if !sure && text.name != wanted.name => return Leads::Elsewhere,
        Err(why) => return Leads::Doubt(Finding::Unreadable { line, name, why }),
    };
    let value = |keys| read.get(keys).map(|v: &Secret<String>| v.expose().trim().to_owned());
    let Some(server) = value(keys::SERVER) else {
        return Leads::Elsewhere;
    };
    let database = value(keys::DATABASE).filter(|d| !d.is_empty());
    // None of its own: the login decides. Some(None): another one.
    let ours = database.as_ref().map(|d| {
        let mut all = wanted.databases.iter();
        all.find(|(name, _)| name.to_lowercase() == d.to_lowercase())
            .map(|(_, to)| to)
    });
    let source = wanted.sources.iter().map(|s| fits(&server, s)).fold(Fit::No, Fit::max);
    let targets = wanted.databases.iter().filter_map(|(_, to)| to.get(keys::SERVER));
    let target = targets
        .filter_map(|s| Target::parse(s.expose()).ok())
        .map(|t| fits(&server, &t))
        .fold(Fit::No, Fit::max);
    let leads = match (source.max(target), ours) {
        (_, Some(None)) | (Fit::No, None) => return Leads::Elsewhere,
        (Fit::Yes | Fit::Maybe, None) if !sure && !text.value.expose().contains(';') => return Leads::Elsewhere,
        (Fit::Yes | Fit::Maybe, None) => Leads::Doubt(Finding::NoDatabase {
            line,
            name: name.clone(),
        }),
        (Fit::No | Fit::Maybe, Some(Some(_))) => Leads::Doubt(Finding::OtherServer {
            line,
            name: name.clone(),
            server,
        }),
        (Fit::Yes, Some(Some(to))) => Leads::Here(to),
    };
    let foreign = text.provider.as_ref().filter(|p| !for_sql_server(p));
    match foreign {
        Some(provider) => Leads::Doubt(Finding::Provider {
            line,
            name,
            provider: provider.clone(),
        }),
        None if text.form == Form::Mixed && matches!(leads, Leads::Here(_)) => {
            Leads::Doubt(Finding::Mixed { line, name })
        }
        None => leads,
    }
}

fn for_sql_server(provider: &str) -> bool {
    let provider = provider.to_ascii_lowercase();
    // MySql.Data.MySqlClient ends like one of them, but for the dot.
    let ours = ["data.sqlclient", ".entityclient", ".odbc", ".oledb"];
    provider.is_empty() || ours.iter().any(|p| provider.ends_with(p))
}

/// Whether an address is a server's.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Fit {
    No,
    /// The computer is right, the instance or port may be another.
    Maybe,
    Yes,
}

fn fits(address: &str, server: &Target) -> Fit {
    // Pipes and shared memory are no way for us, but the application may use them.
    let plain = address.trim();
    let plain = ["np:", "lpc:", "admin:"]
        .iter()
        .find_map(|p| {
            plain
                .get(..p.len())
                .filter(|s| s.eq_ignore_ascii_case(p))
                .and_then(|_| plain.get(p.len()..))
        })
        .unwrap_or(plain)
        .trim();
    let pipe = plain.strip_prefix(r"\\").map(|p| {
        let mut parts = p.split('\\').map(str::to_owned);
        let host = parts.next().unwrap_or_default();
        let instance = parts.find_map(|p| {
            p.get(..6)
                .filter(|s| s.eq_ignore_ascii_case("MSSQL$"))
                .and_then(|_| p.get(6..))
                .map(str::to_owned)
        });
        Target {
            host,
            instance,
            port: None,
        }
    });
    let Some(found) = pipe.or_else(|| Target::parse(plain).ok()) else {
        return Fit::No;
    };
    if !same_host(&found.host, &server.host) {
        return Fit::No;
    }
    let instance = |t: &Target| t.instance.as_ref().map(|i| i.to_lowercase());
    let port = |t: &Target| t.port.or(t.instance.is_none().then_some(1433));
    let same = match (port(&found), port(server)) {
        // A written port wins over the instance's name.
        (Some(a), Some(b)) if found.port.is_some() || server.port.is_some() => a == b,
        _ => instance(&found) == instance(server),
    };
    if same { Fit::Yes } else { Fit::Maybe }
}

/// `sqlvm` and `sqlvm.contoso.com` are one host, two full names only when they are the same.
fn same_host(a: &str, b: &str) -> bool {
    let (a, b) = (
        a.trim_end_matches('.').to_lowercase(),
        b.trim_end_matches('.').to_lowercase(),
    );
    let number = |s: &str| s.parse::<std::net::IpAddr>().is_ok();
    if a == b || number(&a) || number(&b) {
        return a == b;
    }
    let first = |s: &str| s.split('.').next().unwrap_or_default().to_owned();
    (!a.contains('.') || !b.contains('.')) && first(&a) == first(&b)
}

/// Writes a value so that it is read as it is.
fn write(value: &str, form: Form, unicode: bool) -> String {
    if form == Form::CData && unicode && !value.contains("]]>") && !value.contains('\r') {
        return format!("<![CDATA[{value}]]>");
    }
    let mut out = String::new();
    for c in value.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' if form == Form::Attribute('"') => out += "&quot;",
            '\'' if form == Form::Attribute('\'') => out += "&apos;",
            '\t' | '\n' | '\r' => out += &format!("&#x{:X};", u32::from(c)),
            c if !c.is_ascii() && !unicode => out += &format!("&#x{:X};", u32::from(c)),
            c => out.push(c),
        }
    }
    out
}

impl fmt::Display for Change {
    /// Three lines: where, what was, what is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, {}", self.line, self.place.name())?;
        if let Some(location) = &self.location {
            write!(f, " in location {location}")?;
        }
        write!(f, ", {}\n- {}\n+ {}", self.name, self.was, self.is)
    }
}
