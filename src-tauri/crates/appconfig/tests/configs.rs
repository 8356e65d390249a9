//! Every style of configuration, switched and undone. An XML reader that nobody here wrote says what changed.

#![allow(clippy::unwrap_used, reason = "tests")]

use appconfig::{Config, Finding, Switch, Wanted, lacking, parameter, read};
use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use roxmltree::{Document, Node};
use secrets::Secret;
use sha2::{Digest, Sha256};
use sqlserver::{
    Target,
    connection::{ConnectionString, keys, managed_instance},
};
use std::{collections::BTreeSet, path::PathBuf};

const PASSWORD: &str = "n&w \"canary\" <ü'客;{}>";

/// File, names of the strings that are switched, findings.
const FILES: &[(&str, &[&str], &[&str])] = &[
    ("01-plain.config", &["DefaultConnection"], &[]),
    ("02-server-database.config", &["DefaultConnection"], &[]),
    ("03-tcp-and-port.config", &["DefaultConnection"], &[]),
    ("04-address.config", &["DefaultConnection"], &[]),
    ("05-network-address.config", &["DefaultConnection"], &[]),
    ("06-addr.config", &["DefaultConnection"], &[]),
    ("07-named-pipe.config", &["DefaultConnection"], &[]),
    ("08-default-instance-name.config", &["DefaultConnection"], &[]),
    ("09-other-instance.config", &[], &["OtherServer"]),
    ("10-other-port.config", &[], &["OtherServer"]),
    ("11-other-server-same-database.config", &[], &["OtherServer"]),
    ("12-local.config", &[], &["OtherServer"]),
    ("13-no-database.config", &[], &["NoDatabase"]),
    ("14-attach.config", &[], &["NoDatabase"]),
    ("15-attach-and-database.config", &["DefaultConnection"], &[]),
    ("16-failover-partner.config", &["DefaultConnection"], &[]),
    ("17-quoted-double.config", &["DefaultConnection"], &[]),
    ("18-quoted-single.config", &["DefaultConnection"], &[]),
    ("19-braces.config", &["DefaultConnection"], &[]),
    ("20-non-ascii-password.config", &["DefaultConnection"], &[]),
    ("21-number-entities.config", &["DefaultConnection"], &[]),
    ("22-spaces-and-semicolons.config", &["DefaultConnection"], &[]),
    ("23-line-break-in-value.config", &["DefaultConnection"], &[]),
    ("24-key-twice.config", &["DefaultConnection"], &[]),
    ("25-unreadable.config", &[], &["Unreadable"]),
    ("26-odbc.config", &["DefaultConnection"], &[]),
    ("27-ole-db.config", &["DefaultConnection"], &[]),
    ("28-mysql.config", &[], &["Provider"]),
    ("29-ef-quot.config", &["DefaultConnection"], &[]),
    ("30-ef-apos.config", &["DefaultConnection"], &[]),
    ("31-ef-plain-apostrophe.config", &["DefaultConnection"], &[]),
    ("32-ef-nested-quotes.config", &["DefaultConnection"], &[]),
    ("33-ef-other-database.config", &[], &[]),
    ("34-single-quoted-attribute.config", &["DefaultConnection"], &[]),
    ("35-attribute-on-own-lines.config", &["DefaultConnection"], &[]),
    ("36-several.config", &["DefaultConnection", "Audit"], &[]),
    (
        "37-location.config",
        &["DefaultConnection", "DefaultConnection"],
        &["Twice"],
    ),
    (
        "38-name-twice.config",
        &["DefaultConnection", "DefaultConnection"],
        &["Twice"],
    ),
    ("39-app-settings.config", &["DefaultConnection"], &[]),
    ("40-app-settings-external.config", &["DefaultConnection"], &[]),
    ("41-setting-text.config", &["DefaultConnection"], &[]),
    ("42-setting-cdata.config", &["DefaultConnection"], &[]),
    ("43-setting-mixed.config", &[], &["Mixed"]),
    ("44-config-source.config", &[], &[]),
    ("45-external-section.config", &["DefaultConnection"], &[]),
    ("46-external-app-settings.config", &["DefaultConnection"], &[]),
    ("47-transform.config", &[], &["Transform"]),
    ("48-encrypted.config", &[], &["Encrypted"]),
    ("49-builder.config", &["DefaultConnection"], &["Built"]),
    ("50-bom.config", &["DefaultConnection"], &[]),
    ("51-crlf-bom.config", &["DefaultConnection"], &[]),
    ("52-crlf.config", &["DefaultConnection"], &[]),
    ("53-utf16-le-bom.config", &["DefaultConnection"], &[]),
    ("54-utf16-be-bom.config", &["DefaultConnection"], &[]),
    ("55-utf16-le-no-bom.config", &["DefaultConnection"], &[]),
    ("56-windows-1252.config", &["DefaultConnection"], &[]),
    ("57-latin-1.config", &["DefaultConnection"], &[]),
    ("58-shift-jis.config", &["DefaultConnection"], &[]),
    ("59-gb18030.config", &["DefaultConnection"], &[]),
    (
        "60-windows-1251-comment.config",
        &["Гостиница", "DefaultConnection"],
        &[],
    ),
    ("61-no-declaration-no-newline.config", &["DefaultConnection"], &[]),
    ("62-old-namespace.config", &["DefaultConnection"], &[]),
    ("63-already-switched.config", &["DefaultConnection"], &[]),
    ("64-cdata-and-instructions.config", &["DefaultConnection"], &[]),
];

fn wanted(password: &str) -> Wanted {
    let to = managed_instance(
        "mi.example.net",
        "SmartHotelDB",
        "contosoadmin",
        &Secret::from(password),
    );
    Wanted {
        sources: vec![Target::parse("SQLVM").unwrap()],
        databases: vec![("SmartHotelDB".into(), ConnectionString::parse(to.expose()).unwrap())],
        name: "DefaultConnection".into(),
    }
}

fn file(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/configs");
    std::fs::read(folder.join(name)).unwrap()
}

/// The text as .NET decodes it, by another way than the crate's.
fn decoded(bytes: &[u8]) -> String {
    let (charset, _) = encoding_rs::Encoding::for_bom(bytes).unwrap_or_else(|| {
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).replace('\0', "");
        let label = head.split("encoding=\"").nth(1).and_then(|h| h.split('"').next());
        (
            encoding_rs::Encoding::for_label(label.unwrap_or("utf-8").as_bytes()).unwrap(),
            0,
        )
    });
    let (text, _, bad) = charset.decode(bytes);
    assert!(!bad);
    text.into_owned()
}

/// Everything a reader of XML sees, one line each; a connection string's value is left out and returned apart.
fn seen(text: &str) -> (Vec<String>, Vec<String>) {
    let document = Document::parse(text).unwrap();
    let (mut all, mut values) = (vec![], vec![]);
    let mut walk = |n: Node| {
        let mut line = format!("{:?} {:?}", n.node_type(), n.tag_name());
        let is_value = n.parent().is_some_and(|p| p.has_tag_name("value"));
        for a in n.attributes() {
            if a.name() == "connectionString" || (n.has_attribute("key") && a.name() == "value") {
                values.push(a.value().to_owned());
            } else {
                line += &format!(" {}={:?}", a.name(), a.value());
            }
        }
        match n.text() {
            Some(text) if n.is_text() && is_value => values.push(text.to_owned()),
            Some(text) if !n.is_element() => line += &format!(" {text:?}"),
            _ => {}
        }
        all.push(line);
    };
    document.descendants().for_each(&mut walk);
    (all, values)
}

fn kind(finding: &Finding) -> String {
    format!("{finding:?}").split([' ', '(', '{']).next().unwrap().to_owned()
}

/// Switches, undoes, and compares what another reader sees.
fn judged(bytes: &[u8], password: &str) -> (Config, Switch) {
    let wanted = wanted(password);
    let config = read(bytes).unwrap();
    let switch = Switch::compute(&config, &wanted).unwrap();
    let after = switch.apply(bytes).unwrap();
    assert_eq!(switch.undo(&after).unwrap(), bytes, "byte-identical after undo");
    assert_eq!(hex::encode(Sha256::digest(&after)), switch.after);
    let ((all, old), (all_after, new)) = (seen(&decoded(bytes)), seen(&decoded(&after)));
    assert_eq!(all, all_after, "nothing else changed");
    assert_eq!(old.len(), new.len());
    let differing: Vec<_> = old.iter().zip(&new).filter(|(a, b)| a != b).collect();
    assert_eq!(differing.len(), switch.changes.len(), "exactly the connection strings");
    for (old, new) in differing {
        let (old, new) = (
            ConnectionString::parse(old).unwrap(),
            ConnectionString::parse(new).unwrap(),
        );
        for k in [keys::SERVER, keys::DATABASE, keys::USER, keys::PASSWORD] {
            assert_eq!(new.get(k), wanted.databases[0].1.get(k));
        }
        for kept in [
            &["app", "application name"][..],
            keys::DRIVER,
            keys::PROVIDER,
            &["max pool size"],
        ] {
            assert_eq!(old.get(kept), new.get(kept));
        }
        for gone in keys::ELSEWHERE {
            assert!(new.get(&[gone]).is_none());
        }
    }
    // A second time there is nothing to do.
    let again = Switch::compute(&read(&after).unwrap(), &wanted).unwrap();
    assert!(again.edits.is_empty() && again.before == again.after);
    assert_eq!(again.already.len(), switch.already.len() + switch.changes.len());
    (config, switch)
}

#[test]
fn sixty_files_are_switched_and_undone() {
    assert!(FILES.len() >= 60);
    let mut there = BTreeSet::new();
    for entry in std::fs::read_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/configs")).unwrap() {
        there.insert(entry.unwrap().file_name().into_string().unwrap());
    }
    assert_eq!(there, FILES.iter().map(|f| f.0.to_owned()).collect());
    for (name, switched, findings) in FILES {
        println!("{name}");
        let (_, switch) = judged(&file(name), PASSWORD);
        let names: Vec<_> = switch.changes.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, *switched, "{name}");
        let kinds: Vec<_> = switch.findings.iter().map(kind).collect();
        assert_eq!(kinds, *findings, "{name}");
        let shown = format!(
            "{switch:?}{}",
            switch.changes.iter().map(|c| c.to_string()).collect::<String>()
        );
        assert!(!shown.contains("canary"), "{name} shows a password: {shown}");
    }
}

#[test]
fn other_files_and_encrypted_sections_are_told() {
    let config = read(&file("44-config-source.config")).unwrap();
    assert_eq!(
        (config.external[0].section.as_str(), config.external[0].path.as_str()),
        ("connectionStrings", "Config\\connections.config")
    );
    let config = read(&file("48-encrypted.config")).unwrap();
    assert_eq!(config.protected[0].provider, "RsaProtectedConfigurationProvider");
    let (_, location) = judged(&file("37-location.config"), "x");
    assert_eq!(location.changes[1].location.as_deref(), Some("admin"));
    assert_eq!(
        location.changes[1].to_string().lines().next(),
        Some("line 8, connectionStrings in location admin, DefaultConnection")
    );
}

#[test]
fn the_named_string_must_be_among_them() {
    let of = |name: &str| judged(&file(name), "x").1;
    let (plain, source) = (of("01-plain.config"), of("44-config-source.config"));
    assert_eq!(lacking([&source, &plain], "DefaultConnection"), None);
    assert_eq!(lacking([&plain], "Other"), Some(Finding::NameMissing("Other".into())));
    assert_eq!(lacking([&source], ""), Some(Finding::NoneFound));
    assert!(Finding::NoneFound.blocks());
}

#[test]
fn another_file_is_neither_switched_nor_undone() {
    let bytes = file("01-plain.config");
    let (_, switch) = judged(&bytes, "x");
    let mut other = bytes.clone();
    other.push(b' ');
    assert!(switch.apply(&other).is_err() && switch.undo(&other).is_err() && switch.undo(&bytes).is_err());
}

#[test]
fn the_parameter_says_what_the_script_has_to_do() {
    let (_, switch) = judged(&file("01-plain.config"), "x");
    let text = parameter([(r"C:\a b\web.config", &switch)]);
    let text = String::from_utf8(STANDARD.decode(text.expose()).unwrap()).unwrap();
    let lines: Vec<Vec<_>> = text.lines().map(|l| l.split(' ').collect()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(STANDARD.decode(lines[0][1]).unwrap(), br"C:\a b\web.config");
    assert_eq!(lines[0][2..], [&switch.before, &switch.after]);
    assert_eq!(lines[1][1].parse::<usize>().unwrap(), switch.edits[0].at);
}

#[test]
fn a_password_that_xml_can_not_hold_is_refused() {
    let config = read(&file("01-plain.config")).unwrap();
    let refused = Switch::compute(&config, &wanted("a\u{1}canary"))
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("no way to write") && !refused.contains("canary"),
        "{refused}"
    );
}

#[test]
fn hostile_files_are_refused() {
    let deep = "<configuration>".repeat(5000);
    let attributes: String = (0..1000).map(|i| format!(" a{i}=''")).collect();
    for (text, why) in [
        (
            "<!DOCTYPE configuration [<!ENTITY x SYSTEM 'file:///c:/secret'>]><configuration/>",
            "document type",
        ),
        ("<!doctype configuration><configuration/>", "document type"),
        ("<configuration>&x;</configuration>", "entity"),
        ("<configuration a='&x;'/>", "entity"),
        ("<configuration a='&#0;'/>", "entity"),
        ("<configuration a='&#1;'/>", "no way to write"),
        ("<configuration>\u{1}</configuration>", "no way to write"),
        (deep.as_str(), "deeper"),
        (&format!("<configuration{attributes}/>"), "too many"),
        ("<configuration a='1' a='2'/>", "twice"),
        ("<configuration a=1/>", "attribute"),
        ("<configuration a='1'b='2'/>", "attribute"),
        ("<configuration/><configuration/>", "second root"),
        ("<configuration>", "not closed"),
        ("<configuration></other>", "well-formed"),
        ("<project/>", "<project>"),
        ("", "no element"),
        ("text", "outside"),
        ("<?xml version='1.0' encoding='utf-16'?><configuration/>", "utf-16"),
        (
            "<?xml version='1.0' encoding='iso-2022-jp'?><configuration/>",
            "iso-2022-jp",
        ),
        ("<?xml version='1.0' encoding='klingon'?><configuration/>", "klingon"),
    ] {
        let found = read(text.as_bytes()).map(|c| c.texts.len()).unwrap_err().to_string();
        assert!(
            found.contains(why),
            "{found} should say {why}: {}",
            &text[..text.len().min(90)]
        );
    }
    for bytes in [
        &b"<configuration>\xff</configuration>"[..],
        b"\xff\xfe<\0c",
        b"\xff\xfe<\0\x00\xd8",
        b"\xff\xfe\0\0<\0\0\0",
    ] {
        assert!(read(bytes).is_err());
    }
    let huge = vec![b' '; appconfig::MAX_BYTES + 1];
    assert!(read(&huge).unwrap_err().to_string().contains("at most"));
}

/// As `write!` escapes it, in double quotation marks.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '"' => out += "&quot;",
            '\t' | '\n' | '\r' => out += &format!("&#{};", u32::from(c)),
            c => out.push(c),
        }
    }
    out
}

/// What XML can hold.
const TEXT: &str = r"[\t\n\r\x20-\x7e\u{a0}-\u{2ff}\u{4e00}-\u{4eff}\u{1f600}-\u{1f64f}]{0,24}";
const ODD: &str = r#"[;='"{}\[\]()&<>ab ]{0,12}"#;

proptest! {
    #[test]
    fn any_password_survives(old in TEXT, new in prop_oneof![TEXT, ODD], ef in any::<bool>(), crlf in any::<bool>(), charset in 0..4_usize) {
        let old = managed_instance("SQLVM", "SmartHotelDB", "app", &Secret::new(old));
        let value = match ef {
            true => format!("metadata=res://*/M.csdl;provider=System.Data.SqlClient;provider connection string=\"{}\"", old.expose().replace('"', "\"\"")),
            false => old.expose().clone(),
        };
        let label = ["utf-8", "utf-16", "windows-1252", "gb18030"][charset];
        let mut text = format!("<?xml version=\"1.0\" encoding=\"{label}\"?>\n<configuration>\n <!-- é -->\n <connectionStrings>\n  <add name=\"DefaultConnection\" connectionString=\"{}\"/>\n </connectionStrings>\n</configuration>\n", escaped(&value));
        if crlf {
            text = text.replace('\n', "\r\n");
        }
        let bytes = match charset {
            1 => [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect(),
            _ => encoding_rs::Encoding::for_label(label.as_bytes()).unwrap().encode(&text).0.into_owned(),
        };
        let (_, switch) = judged(&bytes, &new);
        prop_assert_eq!(switch.changes.len(), 1);
    }

    #[test]
    fn nothing_panics(bytes in any::<Vec<u8>>(), cut in 0..400_usize, byte in any::<u8>(), which in 0..FILES.len()) {
        let _ = read(&bytes);
        let mut bytes = file(FILES[which].0);
        if let Some(b) = bytes.get_mut(cut) {
            *b = byte;
        }
        if let Ok(config) = read(&bytes)
            && let Ok(switch) = Switch::compute(&config, &wanted("x"))
        {
            let after = switch.apply(&bytes).unwrap();
            prop_assert_eq!(switch.undo(&after).unwrap(), bytes);
        }
    }
}

#[test]
fn strings_of_every_database_that_was_moved_are_switched_each_to_its_own() {
    let file = br#"<configuration><connectionStrings>
  <add name="DefaultConnection" connectionString="Server=SQLVM;Database=SmartHotelDB;Integrated Security=True" />
  <add name="Reports" connectionString="Server=SQLVM;Initial Catalog=smarthotelREPORTS;User ID=r;Password=p" />
  <add name="Payroll" connectionString="Server=SQLVM;Database=Payroll;Integrated Security=True" />
</connectionStrings></configuration>"#;
    let mut wanted = wanted("n");
    let to = managed_instance(
        "mi.example.net",
        "SmartHotelReports",
        "contosoadmin",
        &Secret::from("n"),
    );
    wanted.databases.push((
        "SmartHotelReports".into(),
        ConnectionString::parse(to.expose()).unwrap(),
    ));
    let switch = Switch::compute(&read(file).unwrap(), &wanted).unwrap();
    let names: Vec<&str> = switch.changes.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["DefaultConnection", "Reports"]);
    let after = switch.apply(file).unwrap();
    let text = std::str::from_utf8(&after).unwrap();
    for part in [
        "Initial Catalog=SmartHotelReports",
        "Database=SmartHotelDB",
        "Server=SQLVM;Database=Payroll",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert_eq!(text.matches("mi.example.net").count(), 2);
    assert_eq!(switch.undo(&after).unwrap(), file);
}
