//! The application's configuration inside a migrated machine: real files, on which the commands of Rehost's script are
//! carried out as PowerShell would: read and packed, byte ranges written between two hashes, backups, encrypted sections.
//!
//! Decision: an encrypted section is one whose text is reversed and in base64; what matters is that it can't be read.

use aes::cipher::{BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, write::DeflateEncoder};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, io::Write};

/// A file in a machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct File {
    pub bytes: Vec<u8>,
    /// Its SHA-256 as it was told, when the diary kept the change without its password.
    told: Option<String>,
}

/// Files by their paths.
pub(crate) type Files = BTreeMap<String, File>;

/// What a command is given.
pub(crate) type Given = BTreeMap<String, String>;

/// How many bytes of the packed files one command brings.
const PART: usize = 2800;
const FOLDER: &str = r"C:\inetpub\SmartHotel.Registration.Web";
const PROVIDER: &str = "RsaProtectedConfigurationProvider";

/// The password of the application on the source server.
pub const OLD_PASSWORD: &str = "Sunny-Lobby-1998";

/// The configuration with which SmartHotel comes: a second connection string, a comment that looks like one, CRLF, a mark.
pub(crate) fn smarthotel() -> Files {
    let web = format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n\
         <!-- Ask operations before changing this file. -->\r\n\
         <configuration>\r\n\
         \t<appSettings file=\"settings.config\">\r\n\
         \t\t<add key=\"Theme\" value=\"Caf\u{e9} &amp; Lobby\" />\r\n\
         \t</appSettings>\r\n\
         \t<connectionStrings>\r\n\
         \t\t<!-- <add name=\"DefaultConnection\" connectionString=\"Server=OLD;Database=SmartHotelDB\" /> -->\r\n\
         \t\t<add name=\"DefaultConnection\"\r\n\
         \t\t     connectionString=\"Data Source=SQLVM;Initial Catalog=SmartHotelDB;User ID=smarthotel;Password={OLD_PASSWORD};MultipleActiveResultSets=True\"\r\n\
         \t\t     providerName=\"System.Data.SqlClient\" />\r\n\
         \t\t<add name='Weather' connectionString='Server=weather.contoso.com;Database=Weather;Integrated Security=SSPI' />\r\n\
         \t</connectionStrings>\r\n\
         \t<system.web>\r\n\
         \t\t<compilation debug=\"false\" targetFramework=\"4.7.2\" />\r\n\
         \t</system.web>\r\n\
         </configuration>\r\n"
    );
    let settings = "<appSettings>\n  <add key=\"Currency\" value=\"EUR\"/>\n</appSettings>\n";
    let file = |text: &str| File::new(text.as_bytes().to_vec());
    [("web.config", file(&web)), ("settings.config", file(settings))]
        .map(|(n, f)| (format!(r"{FOLDER}\{n}"), f))
        .into()
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl File {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, told: None }
    }

    fn hash(&self) -> String {
        self.told.clone().unwrap_or_else(|| hash(&self.bytes))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// With its connection strings in clear, and whether they were not.
    fn clear(&self) -> (File, bool) {
        let text = self.text();
        let open = format!("<connectionStrings configProtectionProvider=\"{PROVIDER}\">");
        let inside = text.split_once(&open).and_then(|(a, rest)| {
            let (b, c) = rest.split_once("</connectionStrings>")?;
            Some((a, b, c))
        });
        let Some((before, cipher, after)) = inside else {
            return (self.clone(), false);
        };
        let cipher = cipher.rsplit("<CipherValue>").next().and_then(|c| c.split('<').next());
        let mut plain = BASE64_STANDARD.decode(cipher.unwrap_or_default()).unwrap_or_default();
        plain.reverse();
        let plain = String::from_utf8_lossy(&plain);
        let text = format!("{before}<connectionStrings>{plain}</connectionStrings>{after}");
        let clear = File {
            bytes: text.into_bytes(),
            told: self.told.clone(),
        };
        (clear, true)
    }

    /// Encrypts the connection strings, as `aspnet_regiis -pef` does.
    pub fn encrypt(&mut self) {
        let text = self.text();
        let Some((before, rest)) = text.split_once("<connectionStrings>") else {
            return;
        };
        let Some((inside, after)) = rest.split_once("</connectionStrings>") else {
            return;
        };
        let mut cipher = inside.as_bytes().to_vec();
        cipher.reverse();
        self.bytes = format!(
            "{before}<connectionStrings configProtectionProvider=\"{PROVIDER}\"><EncryptedData><CipherData><CipherValue>{}</CipherValue></CipherData></EncryptedData></connectionStrings>{after}",
            BASE64_STANDARD.encode(cipher)
        )
        .into_bytes();
    }

    /// Replaces a text, as a person with an editor does.
    pub fn edit(&mut self, find: &str, put: &str) {
        *self = Self::new(self.text().replace(find, put).into_bytes());
    }
}

/// The path as the machine spells it.
fn find(files: &Files, path: &str) -> Option<String> {
    files.keys().find(|k| k.eq_ignore_ascii_case(path)).cloned()
}

/// The configuration and the files that hold sections of it.
fn all(files: &Files, main: &str) -> Vec<String> {
    let mut found = vec![main.to_owned()];
    let folder = main.rsplit_once('\\').map_or("", |(f, _)| f);
    let text = files.get(main).map(|f| f.clear().0.text()).unwrap_or_default();
    for mark in [
        "<connectionStrings configSource=\"",
        "<appSettings configSource=\"",
        "<appSettings file=\"",
    ] {
        let other = text.split_once(mark).and_then(|(_, r)| r.split('"').next());
        found.extend(other.and_then(|o| find(files, &format!(r"{folder}\{o}"))));
    }
    found
}

/// The value of a connection string, as the application reads it.
pub(crate) fn connection(files: &Files, name: &str) -> String {
    let web = files.iter().find(|(p, _)| p.ends_with("web.config"));
    let text = web.map(|(_, f)| f.clear().0.text()).unwrap_or_default();
    // Comments are not read.
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("<!--") {
        plain += before;
        rest = after.split_once("-->").map_or("", |(_, r)| r);
    }
    plain += rest;
    let element = plain
        .split_once(&format!("name=\"{name}\""))
        .map_or("", |(_, r)| r.split("/>").next().unwrap_or_default());
    let value = element
        .split_once("connectionString=\"")
        .and_then(|(_, r)| r.split('"').next());
    value.unwrap_or_default().replace("&quot;", "\"").replace("&amp;", "&")
}

/// Puts one connection string by force, for scripts that aren't Rehost's: none when there is none of that name.
pub(crate) fn put_connection(files: &mut Files, name: &str, value: &str) -> Option<bool> {
    let old = connection(files, name);
    if old.is_empty() {
        return None;
    }
    let escape = |s: &str| s.replace('&', "&amp;").replace('"', "&quot;");
    let (path, file) = files.iter().find(|(p, _)| p.ends_with("web.config"))?;
    let (path, mut new) = (path.clone(), file.clone());
    let backup = format!("{path}.rehost-backup");
    files.entry(backup).or_insert_with(|| new.clone());
    new.edit(&escape(&old), &escape(value));
    files.insert(path, new);
    Some(old != value)
}

/// Carries out a command of the script: exit code and output. `blind`: the diary repeats it, without its secrets.
pub(crate) fn run(files: &mut Files, given: &Given, blind: bool) -> (i32, String) {
    let text = |name: &str| given.get(name).map(String::as_str).unwrap_or_default();
    let done = match text("Does") {
        "switch" => switch(files, text("Path"), text("Change"), blind),
        "restore" => restore(files, text("Change")),
        _ => read(files, text("Path"), text("Part"), text("Key")),
    };
    match done {
        Ok(output) => (0, output),
        Err(why) => (1, format!("refused={why}\n")),
    }
}

fn must(files: &Files, path: &str) -> Result<String, String> {
    find(files, path).ok_or_else(|| format!("missing {path} is not there."))
}

fn read(files: &Files, path: &str, part: &str, key: &str) -> Result<String, String> {
    let main = must(files, path)?;
    let (mut head, mut body) = (String::new(), vec![]);
    for path in all(files, &main) {
        let Some(file) = files.get(&path) else { continue };
        let (clear, encrypted) = file.clear();
        head += &format!(
            "{} {} {} -{}\n",
            BASE64_STANDARD.encode(&path),
            file.hash(),
            clear.bytes.len(),
            if encrypted { "connectionStrings" } else { "" }
        );
        body.extend(clear.bytes);
    }
    let failed = |_| "other System.Security.Cryptography.CryptographicException, line 1".to_owned();
    let mut packed = DeflateEncoder::new(vec![], Compression::default());
    let whole = [head.as_bytes(), b"\n", &body].concat();
    let packed = packed
        .write_all(&whole)
        .and_then(|()| packed.finish())
        .map_err(|_| failed(()))?;
    let at: usize = part.parse().map_err(|_| failed(()))?;
    let parts = packed.len().div_ceil(PART);
    let mine = packed.chunks(PART).nth(at).ok_or_else(|| failed(()))?;
    let key = BASE64_STANDARD
        .decode(key)
        .ok()
        .filter(|k| k.len() == 64)
        .ok_or_else(|| failed(()))?;
    // The same for the same key and part, so that a rehearsal can be repeated.
    let iv = Sha256::digest([key.as_slice(), &at.to_be_bytes()].concat());
    let seal = cbc::Encryptor::<aes::Aes256>::new_from_slices(&key[..32], &iv[..16]).map_err(|_| failed(()))?;
    let sealed = [&iv[..16], &seal.encrypt_padded_vec::<Pkcs7>(mine)].concat();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key[32..]).map_err(|_| failed(()))?;
    mac.update(format!("{at}/{parts}").as_bytes());
    mac.update(&sealed);
    let sealed = [sealed.as_slice(), &mac.finalize().into_bytes()].concat();
    Ok(format!("part={at}/{parts} {}\n", BASE64_STANDARD.encode(sealed)))
}

fn decode(text: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(text).unwrap_or_default()
}

fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&decode(text)).into_owned()
}

/// One file of a change: path, hashes, and the edits: where, how long, with what.
struct Change {
    path: String,
    before: String,
    after: String,
    edits: Vec<(usize, usize, Vec<u8>)>,
}

fn changes(text: &str) -> Vec<Change> {
    let mut found: Vec<Change> = vec![];
    for line in decoded(text).lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["file", path, before, after] => found.push(Change {
                path: decoded(path),
                before: before.into(),
                after: after.into(),
                edits: vec![],
            }),
            ["edit", at, length, bytes] => {
                if let (Some(c), Ok(at), Ok(length)) = (found.last_mut(), at.parse(), length.parse()) {
                    c.edits.push((at, length, decode(bytes)));
                }
            }
            _ => {}
        }
    }
    found
}

/// The change without passwords: what is written then finds the database and nothing else.
pub(crate) fn without_passwords(text: &str) -> String {
    let kept = |bytes: &str| BASE64_STANDARD.encode(crate::diary::database_of(&decoded(bytes)));
    let lines: Vec<String> = decoded(text)
        .lines()
        .map(|line| match line.rsplit_once(' ') {
            Some((head, bytes)) if line.starts_with("edit ") => format!("{head} {}", kept(bytes)),
            _ => line.to_owned(),
        })
        .collect();
    BASE64_STANDARD.encode(lines.join("\n"))
}

fn switch(files: &mut Files, path: &str, change: &str, blind: bool) -> Result<String, String> {
    let main = must(files, path)?;
    let all = all(files, &main);
    let mut work = vec![];
    for change in changes(change) {
        let Some(path) = all.iter().find(|p| **p == change.path) else {
            return Err(format!(
                "changed {} does not belong to the configuration any more.",
                change.path
            ));
        };
        let Some(file) = files.get(path) else { continue };
        let (clear, encrypted) = file.clear();
        if clear.hash() == change.after {
            continue;
        }
        if !blind && clear.hash() != change.before {
            return Err(format!("changed {path} is not as it was read."));
        }
        let (mut new, mut at) = (vec![], 0);
        for (from, length, bytes) in &change.edits {
            new.extend_from_slice(clear.bytes.get(at..*from).unwrap_or_default());
            new.extend_from_slice(bytes);
            at = from + length;
        }
        new.extend_from_slice(clear.bytes.get(at..).unwrap_or_default());
        if !blind && hash(&new) != change.after {
            return Err(format!("changed {path} would not become what it should."));
        }
        let mut new = File {
            bytes: new,
            told: blind.then_some(change.after),
        };
        if encrypted {
            new.encrypt();
        }
        work.push((path.clone(), new));
    }
    for (path, new) in work {
        if let Some(old) = files.insert(path.clone(), new) {
            files.entry(format!("{path}.rehost-backup")).or_insert(old);
        }
    }
    let mut output = String::new();
    for path in &all {
        if let (Some(backup), Some(now)) = (files.get(&format!("{path}.rehost-backup")), files.get(path)) {
            output += &format!(
                "file={} {} {}\n",
                BASE64_STANDARD.encode(path),
                backup.hash(),
                now.hash()
            );
        }
    }
    Ok(output + "switched=ok\n")
}

fn restore(files: &mut Files, change: &str) -> Result<String, String> {
    for line in decoded(change).lines() {
        let [path, was, now] = line.split(' ').collect::<Vec<_>>()[..] else {
            continue;
        };
        let path = must(files, &decoded(path))?;
        let hash = files.get(&path).map(File::hash).unwrap_or_default();
        if hash != was {
            if now != "-" && hash != now {
                return Err(format!("changed {path} was changed after the switch."));
            }
            let Some(backup) = files.remove(&format!("{path}.rehost-backup")) else {
                return Err(format!("missing {path}.rehost-backup is not there."));
            };
            if backup.hash() != was {
                return Err(format!(
                    "changed {path}.rehost-backup is not the file that was there before."
                ));
            }
            files.insert(path, backup);
        } else {
            files.remove(&format!("{path}.rehost-backup"));
        }
    }
    Ok("restored=ok\n".into())
}
