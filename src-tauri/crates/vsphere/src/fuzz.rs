//! Arbitrary answers and templates: recorded ones of VMware's simulator and of the lab, changed at random, must never make the readers
//! panic, go beyond the limits, or make more of an answer than is in it.
//!
//! The same changes are made in every run. For longer: `REHOST_FUZZ_SECONDS=300 cargo test -p vsphere --lib fuzz`.

use crate::inventory::Places;
use crate::ova::Package;
use crate::ovf;
use crate::properties::{early_token, object};
use crate::xml::{MAX_DEPTH, Node, parse};
use std::time::{Duration, Instant};

const RECORDED: &[&str] = &[
    include_str!("recorded/vcsim-content.xml"),
    include_str!("recorded/vcsim-fault.xml"),
    include_str!("recorded/vcsim-page.xml"),
    include_str!("recorded/vcsim-updates.xml"),
    include_str!("recorded/lab-content.xml"),
    include_str!("recorded/lab-fault.xml"),
    include_str!("recorded/lab-page.xml"),
    include_str!("recorded/lab-updates.xml"),
    DESCRIPTOR,
];

/// Of a template.
const DESCRIPTOR: &str = include_str!("recorded/appliance.ovf");

/// What is likely to hurt.
const PIECES: &[&str] = &[
    "<",
    ">",
    "</",
    "/>",
    "&",
    ";",
    "\"",
    "'",
    "=",
    " ",
    "\0",
    "\u{feff}",
    "\u{fffd}",
    "]]>",
    "<![CDATA[",
    "<!--",
    "-->",
    "<?xml ",
    "<!DOCTYPE a [<!ENTITY b 'c'>]>",
    "&amp;",
    "&lt;",
    "&b;",
    "&#0;",
    "&#x110000;",
    "&#xd800;",
    "&#65;",
    "<objects>",
    "</objects>",
    "<objectSet>",
    "<propSet>",
    "<name>",
    "<val>",
    "<token>",
    "xmlns:xsi=\"\"",
    "xmlns=\"urn:vim25\"",
    " xsi:type=\"",
    " type=\"\"",
    "xsi:type=\"xsd:string\"",
    "-1",
    "99999999999999999999999",
    "NaN",
    "true",
    "%2f%",
    "<rootSnapshotList>",
    "<childSnapshotList>",
    "<Disk ovf:capacity=\"",
    "<File ovf:href=\"",
    "ovf:id=\"file1\"",
    "byte * 2^63",
    "../",
    "MinLen(",
    "ValueMap{\"",
    "00000000000\0",
    "ustar\0",
    "9999 path=",
];

/// xorshift64*: small, and the same on every computer.
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap_or_default()
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() % n.max(1)
    }
}

fn changed(random: &mut Random) -> String {
    let mut bytes = RECORDED[random.below(RECORDED.len())].as_bytes().to_vec();
    mutate(random, &mut bytes);
    // What is not UTF-8 never gets to the reader.
    String::from_utf8_lossy(&bytes).into_owned()
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len());
        let most = if random.below(4) == 0 { 4096 } else { 64 };
        let length = random.below(most);
        let to = (at + length).min(bytes.len());
        match random.below(8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..to)),
            2 => {
                let part = bytes[at..to].to_vec();
                let times = 1 + random.below(8);
                bytes.splice(at..at, part.repeat(times));
            }
            3 => {
                let other = RECORDED[random.below(RECORDED.len())].as_bytes();
                let from = random.below(other.len());
                let end = (from + length).min(other.len());
                bytes.splice(at..to, other[from..end].iter().copied());
            }
            4 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = u8::try_from(random.below(256)).unwrap_or_default();
                }
            }
            _ => {
                let piece = PIECES[random.below(PIECES.len())];
                let times = if random.below(16) == 0 {
                    1 + random.below(300)
                } else {
                    1
                };
                bytes.splice(at..at, piece.repeat(times).into_bytes());
            }
        }
    }
}

/// Bytes of all that a tree holds, and how deep it is.
fn size(node: &Node, depth: usize) -> (usize, usize) {
    let own = [
        Some(&node.name),
        node.kind.as_ref(),
        node.reference.as_ref(),
        Some(&node.text),
    ];
    let own: usize = own.into_iter().flatten().map(|text| text.len()).sum();
    let own = own + node.attributes.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>();
    node.children
        .iter()
        .map(|c| size(c, depth + 1))
        .fold((own, depth), |(bytes, deepest), (b, d)| (bytes + b, deepest.max(d)))
}

/// Reads an answer in every way that answers are read.
fn read(document: &str) {
    for record in ["objects", "objectSet", "\0"] {
        let (mut bytes, mut places) = (0, Places::default());
        let mut each = |node: Node| {
            let (b, depth) = size(&node, 1);
            assert!(depth <= MAX_DEPTH);
            bytes += b;
            if let Ok(Some(o)) = object("server", "method", node) {
                places.add(std::slice::from_ref(&o));
                let vm = places.whole_vm(&o);
                assert!(vm.details.is_some() && vm.moref == o.moref);
            }
        };
        if let Ok(rest) = parse(document, record, &mut each) {
            let (b, depth) = size(&rest, 1);
            assert!(depth <= MAX_DEPTH);
            bytes += b;
            let _ = rest
                .at(&["Body", "Fault", "detail"])
                .map(|d| d.children.first().map(|f| f.text_of("name")));
        }
        assert!(bytes <= document.len(), "{bytes} of {}", document.len());
    }
    if let Ok(node) = crate::xml::whole(document) {
        let (bytes, depth) = size(&node, 1);
        assert!(depth <= MAX_DEPTH && bytes <= document.len());
    }
    if let Ok(d) = ovf::descriptor("a.ovf", document) {
        for file in &d.template.files {
            assert!(!file.name.contains(['/', '\\', ':']) && file.name != "..", "{file:?}");
        }
    }
    if let Some(token) = early_token(document) {
        assert!(document.contains(token));
    }
}

/// Calls `once` for so many documents, or as long as the environment says.
fn many(few: u64, what: &str, mut once: impl FnMut(&mut Random)) {
    let seconds = std::env::var("REHOST_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let until = seconds.map(|s| Instant::now() + Duration::from_secs(s));
    let (mut random, mut count) = (Random(0x7265_686f_7374), 0_u64);
    while until.map_or(count < few, |until| Instant::now() < until) {
        once(&mut random);
        count += 1;
    }
    println!("{count} changed {what}");
}

#[test]
fn changed_answers_are_survived() {
    for document in RECORDED {
        read(document);
    }
    many(4_000, "answers", |random| {
        let document = changed(random);
        // A panic shows the document that it was about.
        let outcome = std::panic::catch_unwind(|| read(&document));
        assert!(outcome.is_ok(), "document:\n{document}");
    });
}

#[test]
fn changed_templates_are_survived() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ova");
    lab::template::write(&path, 4096).unwrap();
    let whole = std::fs::read(&path).unwrap();
    many(500, "templates", |random| {
        let mut bytes = whole.clone();
        mutate(random, &mut bytes);
        std::fs::write(&path, &bytes).unwrap();
        let outcome = std::panic::catch_unwind(|| {
            if let Ok(package) = Package::open(&path) {
                // What passes its checksums is what was written.
                let same = package.verify(|_| true).is_ok() && package.manifest;
                assert!(!same || package.template.upload_bytes() == 4096);
                assert!(package.checked_bytes() <= bytes.len() as u64);
            }
        });
        if outcome.is_err() {
            std::fs::write(std::env::temp_dir().join("crash.ova"), &bytes).unwrap();
        }
        assert!(outcome.is_ok(), "see crash.ova in the temporary folder");
    });
}
