//! The descriptor of a template: what machine it describes, from which files.
//!
//! DSP0243 (OVF 1.1 and 2.1), as far as one machine goes, which is what appliances are. A descriptor comes from a download: a
//! document that nests, refers or lies is refused in words. What vCenter makes of it is vCenter's business; this reader is for
//! what a person must know and choose before.

use crate::xml::{self, Node};
use plan::appliance::{DeploymentOption, Template, TemplateDisk, TemplateFile, TemplateNetwork, TemplateProperty};
use std::collections::{HashMap, HashSet};
use std::io;

/// Descriptors of real appliances have some 100 KiB; most of it is licence terms.
pub(crate) const MAX_DESCRIPTOR: u64 = 4 << 20;
/// What one template may consist of at most.
const MAX_PARTS: usize = 500;

/// Why a template can't be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OvfError {
    /// The disk refuses.
    #[error("{file} can't be read: {why}")]
    Disk { file: String, why: String },
    /// It is no template, or a damaged one.
    #[error("{file} is no complete template: {why}")]
    Damaged { file: String, why: String },
    /// The descriptor or the manifest says something else than the files.
    #[error("{file} is not what the template says: {why}")]
    Lies { file: String, why: String },
    /// A valid template that can't be deployed by Rehost.
    #[error("{file} can't be deployed by Rehost: {why}")]
    Unsupported {
        file: String,
        why: String,
        instead: &'static str,
    },
}

impl OvfError {
    pub(crate) fn disk(file: &str, e: &io::Error) -> OvfError {
        OvfError::Disk {
            file: file.into(),
            why: e.to_string(),
        }
    }

    pub(crate) fn damaged(file: &str, why: impl Into<String>) -> OvfError {
        OvfError::Damaged {
            file: file.into(),
            why: why.into(),
        }
    }

    pub(crate) fn lies(file: &str, why: impl Into<String>) -> OvfError {
        OvfError::Lies {
            file: file.into(),
            why: why.into(),
        }
    }

    fn unsupported(file: &str, why: impl Into<String>, instead: &'static str) -> OvfError {
        OvfError::Unsupported {
            file: file.into(),
            why: why.into(),
            instead,
        }
    }

    /// A stable word for the kind.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Disk { .. } => "Disk",
            Self::Damaged { .. } => "Damaged",
            Self::Lies { .. } => "Lies",
            Self::Unsupported { .. } => "Unsupported",
        }
    }

    /// Words for the person who can change it.
    pub fn advice(&self) -> crate::Advice {
        let (title, hint) = match self {
            Self::Disk { .. } => (
                "The template can't be read",
                "Check that the disk is connected and the file may be read, then choose it again.",
            ),
            Self::Damaged { .. } => (
                "The template is damaged",
                "Download it again from where Microsoft offers it, to the end, and choose it once more.",
            ),
            Self::Lies { .. } => (
                "The template is not what it says",
                "Don't use this file. Download it again from where Microsoft offers it; if that is refused, too, report it to Microsoft.",
            ),
            Self::Unsupported { instead, .. } => ("This kind of template is not supported", *instead),
        };
        crate::Advice {
            title: title.into(),
            detail: self.to_string(),
            hint: hint.into(),
        }
    }
}

/// The name of a file beside the descriptor, from a reference to it.
///
/// # Errors
/// For one that is not simply a name: a path leads elsewhere, an address to another computer.
pub(crate) fn plain_name(of: &str, href: &str) -> Result<String, OvfError> {
    let outside = || {
        OvfError::lies(
            of,
            format!("it refers to {:?}, which lies outside of its folder", short(href)),
        )
    };
    let name = percent_encoding::percent_decode_str(href)
        .decode_utf8()
        .map_err(|_| outside())?;
    let name = name.strip_prefix("./").unwrap_or(&name);
    let wrong = |c: char| matches!(c, '/' | '\\' | ':') || c.is_control();
    if name.is_empty() || name == "." || name == ".." || name.len() > 255 || name.contains(wrong) {
        return Err(outside());
    }
    Ok(name.to_owned())
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

/// A descriptor that was read, with what it says of its files' sizes.
#[derive(Debug)]
pub(crate) struct Descriptor {
    pub template: Template,
    /// By file id, as far as the descriptor says it.
    pub sizes: HashMap<String, u64>,
}

/// Reads a descriptor; `of` is its name in messages.
///
/// # Errors
/// See [`OvfError`].
pub(crate) fn descriptor(of: &str, document: &str) -> Result<Descriptor, OvfError> {
    let root = xml::whole(document).map_err(|why| OvfError::damaged(of, why))?;
    if root.name != "Envelope" {
        return Err(OvfError::damaged(
            of,
            format!("its root is {:?} and not Envelope", short(&root.name)),
        ));
    }
    let reader = Reader {
        of,
        root: &root,
        strings: strings(&root),
    };
    let (files, sizes) = reader.files()?;
    let disks = reader.disks(&files)?;
    let system = reader.system()?;
    let options = reader.options();
    let default = options
        .iter()
        .find(|o| o.default)
        .or(options.first())
        .map(|o| o.id.as_str());
    let products: Vec<&Node> = system.all("ProductSection").collect();
    let first = |name: &str| {
        let mut found = products.iter().filter_map(|p| p.child(name));
        found
            .find_map(|n| Some(reader.text(n)).filter(|t| !t.is_empty()))
            .unwrap_or_default()
    };
    let hardware = system.child("VirtualHardwareSection");
    let quantity = |resource: &str| {
        let fits = |i: &&Node| {
            i.text_of("ResourceType") == Some(resource)
                && i.attribute("configuration")
                    .is_none_or(|c| default.is_some_and(|d| c.split_whitespace().any(|one| one == d)))
        };
        let item = hardware.into_iter().flat_map(|h| h.all("Item")).find(fits)?;
        let amount: u64 = item.text_of("VirtualQuantity")?.trim().parse().ok()?;
        Some((amount, item.text_of("AllocationUnits").unwrap_or_default().to_owned()))
    };
    let memory = quantity("4").map(|(n, unit)| n.saturating_mul(allocation(&unit).unwrap_or(1 << 20)) >> 20);
    let own_name = |n: &Node| n.child("Name").map(|n| reader.text(n)).filter(|t| !t.is_empty());
    let text_in = |section: &str, name: &str| {
        let found = system.child(section).and_then(|s| s.child(name));
        found.map(|n| reader.text(n)).unwrap_or_default()
    };
    let template = Template {
        name: own_name(system)
            .or_else(|| system.attribute("id").map(str::to_owned))
            .unwrap_or_default(),
        product: first("Product"),
        vendor: first("Vendor"),
        version: Some(first("FullVersion"))
            .filter(|v| !v.is_empty())
            .unwrap_or_else(|| first("Version")),
        description: text_in("AnnotationSection", "Annotation"),
        system: text_in("OperatingSystemSection", "Description"),
        hardware: hardware
            .and_then(|h| h.at(&["System", "VirtualSystemType"]))
            .map(|t| t.text.trim().to_owned())
            .unwrap_or_default(),
        cpus: quantity("3").and_then(|(n, _)| n.try_into().ok()).unwrap_or_default(),
        memory_mib: memory.unwrap_or_default(),
        networks: reader.networks()?,
        properties: reader.properties(&products)?,
        eulas: [&root, system]
            .into_iter()
            .flat_map(|n| n.all("EulaSection"))
            .filter_map(|e| e.child("License"))
            .map(|l| reader.text(l))
            .filter(|t| !t.is_empty())
            .collect(),
        options,
        files,
        disks,
    };
    Ok(Descriptor { template, sizes })
}

/// Texts by message id, for elements that refer to one. The first language in the descriptor is the author's own.
fn strings(root: &Node) -> HashMap<String, String> {
    let mut all = HashMap::new();
    for message in root.all("Strings").flat_map(|s| s.all("Msg")) {
        if let Some(id) = message.attribute("msgid") {
            all.entry(id.to_owned())
                .or_insert_with(|| message.text.trim().to_owned());
        }
    }
    all
}

struct Reader<'a> {
    of: &'a str,
    root: &'a Node,
    strings: HashMap<String, String>,
}

impl Reader<'_> {
    fn text(&self, node: &Node) -> String {
        match (node.text.trim(), node.attribute("msgid")) {
            ("", Some(id)) => self.strings.get(id).cloned().unwrap_or_default(),
            (text, _) => text.to_owned(),
        }
    }

    fn children<'n>(&'n self, section: &str, name: &'n str) -> Result<Vec<&'n Node>, OvfError> {
        let all: Vec<&Node> = self.root.child(section).into_iter().flat_map(|s| s.all(name)).collect();
        match all.len() {
            n if n > MAX_PARTS => Err(OvfError::damaged(self.of, format!("it has {n} elements {name}"))),
            _ => Ok(all),
        }
    }

    fn required<'n>(&self, node: &'n Node, attribute: &str) -> Result<&'n str, OvfError> {
        node.attribute(attribute)
            .ok_or_else(|| OvfError::damaged(self.of, format!("an element {} has no {attribute}", node.name)))
    }

    fn unique<'n>(&self, seen: &mut HashSet<&'n str>, what: &str, name: &'n str) -> Result<(), OvfError> {
        match seen.insert(name) {
            true => Ok(()),
            false => Err(OvfError::lies(
                self.of,
                format!("it names the {what} {:?} twice", short(name)),
            )),
        }
    }

    fn number(&self, what: &str, text: &str) -> Result<u64, OvfError> {
        text.trim().parse().map_err(|_| {
            OvfError::lies(
                self.of,
                format!("{what} is {:?} and not a number of bytes", short(text)),
            )
        })
    }

    fn files(&self) -> Result<(Vec<TemplateFile>, HashMap<String, u64>), OvfError> {
        let (mut ids, mut files, mut sizes) = (HashSet::new(), Vec::new(), HashMap::new());
        for node in self.children("References", "File")? {
            let id = self.required(node, "id")?;
            self.unique(&mut ids, "file", id)?;
            let name = plain_name(self.of, self.required(node, "href")?)?;
            if files.iter().any(|f: &TemplateFile| f.name.eq_ignore_ascii_case(&name)) {
                return Err(OvfError::lies(self.of, format!("it names the file {name:?} twice")));
            }
            if node
                .attribute("compression")
                .is_some_and(|c| !c.eq_ignore_ascii_case("identity"))
            {
                return Err(OvfError::unsupported(self.of, format!("{name} is compressed"), REPACK));
            }
            if node.attribute("chunkSize").is_some() {
                return Err(OvfError::unsupported(
                    self.of,
                    format!("{name} is split into chunks"),
                    REPACK,
                ));
            }
            if let Some(size) = node.attribute("size") {
                sizes.insert(id.to_owned(), self.number(&format!("the size of {name}"), size)?);
            }
            files.push(TemplateFile {
                id: id.to_owned(),
                name,
                bytes: 0,
            });
        }
        Ok((files, sizes))
    }

    fn disks(&self, files: &[TemplateFile]) -> Result<Vec<TemplateDisk>, OvfError> {
        let (mut ids, mut used, mut disks) = (HashSet::new(), HashSet::new(), Vec::new());
        for node in self.children("DiskSection", "Disk")? {
            let id = self.required(node, "diskId")?;
            self.unique(&mut ids, "disk", id)?;
            let file = node.attribute("fileRef");
            if let Some(file) = file {
                self.unique(&mut used, "content of a disk", file)?;
                if !files.iter().any(|f| f.id == file) {
                    let why = format!("the disk {:?} is in a file that it doesn't name", short(id));
                    return Err(OvfError::lies(self.of, why));
                }
            }
            let format = node.attribute("format").unwrap_or_default();
            if !format.is_empty() && !format.to_ascii_lowercase().contains("vmdk") {
                let why = format!(
                    "the disk {:?} has the format {:?}, and vCenter takes VMDK",
                    short(id),
                    short(format)
                );
                return Err(OvfError::unsupported(self.of, why, REPACK));
            }
            let what = format!("the capacity of the disk {:?}", short(id));
            let unit = node.attribute("capacityAllocationUnits").unwrap_or("byte");
            let unit = allocation(unit)
                .ok_or_else(|| OvfError::lies(self.of, format!("{what} is counted in {:?}", short(unit))))?;
            let capacity = self.number(&what, self.required(node, "capacity")?)?;
            let capacity = capacity
                .checked_mul(unit)
                .filter(|c| (1..=MAX_CAPACITY).contains(c))
                .ok_or_else(|| OvfError::lies(self.of, format!("{what} is none that a disk of vSphere can have")))?;
            disks.push(TemplateDisk {
                id: id.to_owned(),
                file: file.map(str::to_owned),
                capacity_bytes: capacity,
            });
        }
        Ok(disks)
    }

    fn system(&self) -> Result<&Node, OvfError> {
        let systems: Vec<&Node> = self.root.all("VirtualSystem").collect();
        match (systems.as_slice(), self.root.child("VirtualSystemCollection")) {
            ([one], None) => Ok(one),
            ([], None) => Err(OvfError::damaged(self.of, "it describes no machine")),
            _ => Err(OvfError::unsupported(
                self.of,
                "it describes several machines",
                "Deploy it in the vSphere Client: right-click the datacenter, Deploy OVF Template.",
            )),
        }
    }

    fn networks(&self) -> Result<Vec<TemplateNetwork>, OvfError> {
        let mut names = HashSet::new();
        self.children("NetworkSection", "Network")?
            .into_iter()
            .map(|node| {
                let name = self.required(node, "name")?;
                self.unique(&mut names, "network", name)?;
                Ok(TemplateNetwork {
                    name: name.to_owned(),
                    description: node.child("Description").map(|d| self.text(d)).unwrap_or_default(),
                })
            })
            .collect()
    }

    fn options(&self) -> Vec<DeploymentOption> {
        let all = self.root.child("DeploymentOptionSection");
        let all = all.into_iter().flat_map(|s| s.all("Configuration"));
        all.filter_map(|node| {
            let of = |name: &str| node.child(name).map(|n| self.text(n)).unwrap_or_default();
            let id = node.attribute("id")?.to_owned();
            Some(DeploymentOption {
                label: Some(of("Label"))
                    .filter(|l| !l.is_empty())
                    .unwrap_or_else(|| id.clone()),
                description: of("Description"),
                default: node.attribute("default") == Some("true"),
                id,
            })
        })
        .take(MAX_PARTS)
        .collect()
    }

    fn properties(&self, products: &[&Node]) -> Result<Vec<TemplateProperty>, OvfError> {
        let mut all: Vec<TemplateProperty> = Vec::new();
        for product in products {
            for node in product.all("Property") {
                let own = self.required(node, "key")?;
                let parts = [product.attribute("class"), Some(own), product.attribute("instance")];
                let key = parts.into_iter().flatten().collect::<Vec<_>>().join(".");
                if all.len() == MAX_PARTS || all.iter().any(|p| p.key == key) {
                    return Err(OvfError::lies(
                        self.of,
                        format!("it has the property {:?} twice, or too many", short(&key)),
                    ));
                }
                let of = |name: &str| node.child(name).map(|n| self.text(n)).unwrap_or_default();
                let qualifiers = node.attribute("qualifiers").unwrap_or_default();
                all.push(TemplateProperty {
                    label: Some(of("Label"))
                        .filter(|l| !l.is_empty())
                        .unwrap_or_else(|| own.to_owned()),
                    description: of("Description"),
                    kind: node.attribute("type").unwrap_or("string").to_owned(),
                    value: node.attribute("value").unwrap_or_default().to_owned(),
                    password: node.attribute("password") == Some("true"),
                    user_configurable: node.attribute("userConfigurable") == Some("true"),
                    min_length: qualifier(qualifiers, "MinLen").and_then(|n| n.trim().parse().ok()),
                    max_length: qualifier(qualifiers, "MaxLen").and_then(|n| n.trim().parse().ok()),
                    values: choices(qualifiers),
                    key,
                });
            }
        }
        Ok(all)
    }
}

const REPACK: &str = "Repack it with VMware's tool: ovftool TEMPLATE NEW.ova. It writes disks that are stream-optimized VMDK files in one piece.";
/// The largest disk of vSphere has 62 TB.
const MAX_CAPACITY: u64 = 62 << 40;

/// `MinLen(8)` in `MinLen(8) MaxLen(20)`.
fn qualifier<'a>(all: &'a str, name: &str) -> Option<&'a str> {
    let at = all.find(&format!("{name}("))? + name.len() + 1;
    all[at..].split_once(')').map(|(value, _)| value)
}

/// `ValueMap{"a","b"}`
fn choices(qualifiers: &str) -> Vec<String> {
    let Some((_, rest)) = qualifiers.split_once("ValueMap{") else {
        return vec![];
    };
    let inside = rest.split_once('}').map_or("", |(inside, _)| inside);
    let quoted = inside.split('"').skip(1).step_by(2);
    quoted.map(str::to_owned).take(MAX_PARTS).collect()
}

/// Bytes of a unit: `byte * 2^30`, or as older descriptors write it, `GigaBytes`.
fn allocation(unit: &str) -> Option<u64> {
    let unit: String = unit
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect::<String>()
        .to_ascii_lowercase();
    if let Some(power) = unit.strip_prefix("byte*2^") {
        return power.parse().ok().filter(|p| *p < 50).map(|p: u32| 1 << p);
    }
    match unit.as_str() {
        "byte" | "bytes" => Some(1),
        "kilobytes" | "kb" => Some(1 << 10),
        "megabytes" | "mb" => Some(1 << 20),
        "gigabytes" | "gb" => Some(1 << 30),
        "terabytes" | "tb" => Some(1 << 40),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) const SAMPLE: &str = include_str!("recorded/appliance.ovf");

    #[test]
    fn a_descriptor_says_what_a_person_must_know() {
        let d = descriptor("a.ovf", SAMPLE).unwrap();
        let t = &d.template;
        assert_eq!(
            (t.product.as_str(), t.vendor.as_str(), t.version.as_str()),
            ("Replication appliance", "Contoso", "1.2.3")
        );
        assert_eq!((t.cpus, t.memory_mib, t.hardware.as_str()), (8, 16_384, "vmx-13"));
        assert_eq!(
            t.disks.iter().map(|d| d.capacity_bytes).collect::<Vec<_>>(),
            [80 << 30, 620 << 30]
        );
        assert_eq!(
            (t.files[0].name.as_str(), d.sizes["file1"]),
            ("appliance disk1.vmdk", 1024)
        );
        assert_eq!(t.disks[1].file, None);
        assert_eq!(t.networks[0].description, "The management network");
        assert_eq!(t.eulas, ["You may use it."]);
        let keys: Vec<_> = t
            .properties
            .iter()
            .map(|p| (p.key.as_str(), p.password, p.min_length))
            .collect();
        assert_eq!(
            keys,
            [
                ("vami.hostname.App", false, None),
                ("vami.password.App", true, Some(8)),
                ("vami.mode.App", false, None)
            ]
        );
        assert_eq!(t.properties[2].values, ["static", "dhcp"]);
        assert_eq!(
            t.options.iter().map(|o| (o.id.as_str(), o.default)).collect::<Vec<_>>(),
            [("small", false), ("large", true)]
        );
    }

    #[test]
    fn a_descriptor_that_lies_is_refused_in_words() {
        for (from, to, code, word) in [
            ("appliance%20disk1.vmdk", "../disk1.vmdk", "Lies", "outside"),
            ("appliance%20disk1.vmdk", "/etc/passwd", "Lies", "outside"),
            ("appliance%20disk1.vmdk", "%2e%2e%2fdisk1.vmdk", "Lies", "outside"),
            ("appliance%20disk1.vmdk", "C:\\disk1.vmdk", "Lies", "outside"),
            (
                "appliance%20disk1.vmdk",
                "https://contoso.com/disk1.vmdk",
                "Lies",
                "outside",
            ),
            ("ovf:size=\"1024\"", "ovf:size=\"-1\"", "Lies", "number of bytes"),
            (
                "ovf:size=\"1024\"",
                "ovf:compression=\"gzip\"",
                "Unsupported",
                "compressed",
            ),
            ("ovf:size=\"1024\"", "ovf:chunkSize=\"10\"", "Unsupported", "chunks"),
            (
                "ovf:capacity=\"80\"",
                "ovf:capacity=\"99999999999999999\"",
                "Lies",
                "capacity",
            ),
            ("ovf:capacity=\"80\"", "ovf:capacity=\"0\"", "Lies", "capacity"),
            ("ovf:fileRef=\"file1\"", "ovf:fileRef=\"file9\"", "Lies", "doesn't name"),
            ("ovf:diskId=\"vmdisk2\"", "ovf:diskId=\"vmdisk1\"", "Lies", "twice"),
            ("#streamOptimized", "#x", "", ""),
            (
                "<VirtualSystem ",
                "<!DOCTYPE x><VirtualSystem ",
                "Damaged",
                "document type",
            ),
            ("You may use it.", "&xxe;", "Damaged", "entity"),
            ("</Envelope>", "", "Damaged", "early"),
            ("VirtualSystem", "VirtualSystemCollection", "Unsupported", "several"),
        ] {
            let changed = SAMPLE.replace(from, to);
            assert_ne!(changed, SAMPLE, "{from}");
            match descriptor("a.ovf", &changed) {
                Ok(_) => assert_eq!(code, "", "{to}"),
                Err(e) => {
                    assert_eq!(e.code(), code, "{to}: {e}");
                    assert!(e.to_string().contains(word) && !e.advice().hint.is_empty(), "{to}: {e}");
                }
            }
        }
    }
}
