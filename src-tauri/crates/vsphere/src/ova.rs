//! A template on disk: a descriptor with files beside it (.ovf), or all of it in one archive (.ova), and its manifest.
//!
//! An archive is read where it lies: of each file only its place is kept, and files of any size are read in pieces. The reader
//! of the archive is our own, since a general one keeps whatever an extended header says in memory, however much that is.
//! A signature (.cert) is recognised, not verified: its chain leads to an authority that this computer need not trust.

use crate::ovf::{self, MAX_DESCRIPTOR, OvfError, plain_name};
use plan::Template;
use sha2::Digest;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

const BLOCK: u64 = 512;
const MAX_ENTRIES: usize = 1000;
/// Of an extended header, and of a manifest.
const MAX_SMALL: u64 = 1 << 20;
/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// Where a file of a template lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    path: PathBuf,
    offset: u64,
    pub bytes: u64,
}

impl Part {
    /// Reads it from its beginning to its end.
    pub fn open(&self) -> io::Result<io::Take<File>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(file.take(self.bytes))
    }

    fn small(&self, name: &str, most: u64) -> Result<String, OvfError> {
        if self.bytes > most {
            return Err(OvfError::damaged(
                name,
                format!("it has {} bytes; {most} are read at most", self.bytes),
            ));
        }
        let mut text = Vec::new();
        self.open()
            .and_then(|mut f| f.read_to_end(&mut text))
            .map_err(|e| OvfError::disk(name, &e))?;
        String::from_utf8(text).map_err(|_| OvfError::damaged(name, "it is not in UTF-8"))
    }
}

/// A template that was opened: its descriptor is read, and all its files are there with the sizes that it says.
#[derive(Debug)]
pub struct Package {
    /// Name of the file that was chosen.
    pub file: String,
    pub template: Template,
    /// Whether a manifest with checksums comes with it, and whether that is signed.
    pub manifest: bool,
    pub signed: bool,
    pub(crate) descriptor: String,
    parts: BTreeMap<String, Part>,
    /// Each file with its checksum.
    sums: Vec<(String, Sum)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Sum {
    algorithm: Algorithm,
    hex: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

impl Package {
    /// Opens a template. Blocking.
    ///
    /// # Errors
    /// See [`OvfError`].
    pub fn open(path: &Path) -> Result<Package, OvfError> {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        let (descriptor_name, parts) = match extension.to_str() {
            Some("ova") => {
                let parts = archive(path, &file)?;
                let mut descriptors = parts.keys().filter(|n| has_extension(n, "ovf"));
                match (descriptors.next().cloned(), descriptors.next()) {
                    (Some(one), None) => (one, parts),
                    (None, _) => return Err(OvfError::damaged(&file, "there is no descriptor (.ovf) in it")),
                    (Some(_), Some(_)) => return Err(OvfError::lies(&file, "there are two descriptors (.ovf) in it")),
                }
            }
            Some("ovf") => (file.clone(), BTreeMap::from([(file.clone(), beside(path, &file)?)])),
            _ => return Err(OvfError::damaged(&file, "its name ends in neither .ova nor .ovf")),
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        Package::read(file, &descriptor_name, parts, (extension != "ova").then_some(folder))
    }

    /// `folder` is where the files lie that are not in `parts` yet.
    fn read(
        file: String,
        descriptor_name: &str,
        mut parts: BTreeMap<String, Part>,
        folder: Option<&Path>,
    ) -> Result<Package, OvfError> {
        let found = |name: &str, parts: &BTreeMap<String, Part>| match (parts.get(name), folder) {
            (Some(part), _) => Ok(Some(part.clone())),
            (None, Some(folder)) => match fs::symlink_metadata(folder.join(name)) {
                Ok(_) => beside(&folder.join(name), name).map(Some),
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(OvfError::disk(name, &e)),
            },
            (None, None) => Ok(None),
        };
        let own = found(descriptor_name, &parts)?
            .ok_or_else(|| OvfError::damaged(&file, format!("{descriptor_name} is missing")))?;
        let descriptor = own.small(descriptor_name, MAX_DESCRIPTOR)?;
        let read = ovf::descriptor(descriptor_name, &descriptor)?;
        let mut template = read.template;
        for f in &mut template.files {
            let part = found(&f.name, &parts)?
                .ok_or_else(|| OvfError::damaged(&file, format!("the file {} is missing", f.name)))?;
            if let Some(said) = read.sizes.get(&f.id).filter(|said| **said != part.bytes) {
                let why = format!("it has {} bytes, and {descriptor_name} says {said}", part.bytes);
                return Err(OvfError::lies(&f.name, why));
            }
            f.bytes = part.bytes;
            if let Some(disk) = template.disks.iter().find(|d| d.file.as_ref() == Some(&f.id)) {
                check_disk(&f.name, &part, disk.capacity_bytes)?;
            }
            parts.insert(f.name.clone(), part);
        }
        let stem = descriptor_name
            .rsplit_once('.')
            .map_or(descriptor_name, |(stem, _)| stem);
        let (manifest_name, signature) = (format!("{stem}.mf"), format!("{stem}.cert"));
        let manifest = found(&manifest_name, &parts)?;
        let signed = found(&signature, &parts)?.is_some();
        let sums = match &manifest {
            Some(part) => sums(&manifest_name, &part.small(&manifest_name, MAX_SMALL)?)?,
            None => vec![],
        };
        if manifest.is_some() {
            let listed = |name: &str| sums.iter().any(|(n, _)| n == name);
            let all = template.files.iter().map(|f| f.name.as_str());
            if let Some(name) = all.chain([descriptor_name]).find(|n| !listed(n)) {
                return Err(OvfError::lies(&manifest_name, format!("it has no checksum of {name}")));
            }
        }
        for (name, _) in &sums {
            let part = found(name, &parts)?.ok_or_else(|| {
                OvfError::damaged(
                    &file,
                    format!("{name} is missing, of which {manifest_name} has a checksum"),
                )
            })?;
            parts.insert(name.clone(), part);
        }
        Ok(Package {
            file,
            template,
            manifest: manifest.is_some(),
            signed,
            descriptor,
            parts,
            sums,
        })
    }

    pub(crate) fn part(&self, name: &str) -> Option<&Part> {
        self.parts.get(name)
    }

    /// Bytes that [`Package::verify`] reads.
    pub fn checked_bytes(&self) -> u64 {
        let parts = self.sums.iter().filter_map(|(name, _)| self.parts.get(name));
        parts.map(|p| p.bytes).sum()
    }

    /// Compares each file with its checksum in the manifest; `each` hears how many bytes were read and stops it by returning
    /// false. Returns false when it was stopped. Blocking.
    ///
    /// # Errors
    /// [`OvfError::Lies`] for the first file that is another one.
    pub fn verify(&self, mut each: impl FnMut(u64) -> bool) -> Result<bool, OvfError> {
        let mut done = 0;
        let mut piece = vec![0; PIECE];
        for (name, sum) in &self.sums {
            let Some(part) = self.parts.get(name) else { continue };
            let mut hash = Hash::new(sum.algorithm);
            let mut file = part.open().map_err(|e| OvfError::disk(name, &e))?;
            let mut left = part.bytes;
            while left > 0 {
                let n = file.read(&mut piece).map_err(|e| OvfError::disk(name, &e))?;
                if n == 0 {
                    return Err(OvfError::damaged(name, "it has become shorter since it was opened"));
                }
                hash.update(&piece[..n]);
                left -= n as u64;
                done += n as u64;
                if !each(done) {
                    return Ok(false);
                }
            }
            let found = hash.hex();
            if !found.eq_ignore_ascii_case(&sum.hex) {
                let why = format!("its {:?} is {found}, and the manifest says {}", sum.algorithm, sum.hex);
                return Err(OvfError::lies(name, why));
            }
        }
        Ok(true)
    }
}

enum Hash {
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hash {
    fn new(algorithm: Algorithm) -> Hash {
        match algorithm {
            Algorithm::Sha1 => Hash::Sha1(sha1::Sha1::new()),
            Algorithm::Sha256 => Hash::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => Hash::Sha512(sha2::Sha512::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Hash::Sha1(h) => h.update(bytes),
            Hash::Sha256(h) => h.update(bytes),
            Hash::Sha512(h) => h.update(bytes),
        }
    }

    fn hex(self) -> String {
        match self {
            Hash::Sha1(h) => hex::encode(h.finalize()),
            Hash::Sha256(h) => hex::encode(h.finalize()),
            Hash::Sha512(h) => hex::encode(h.finalize()),
        }
    }
}

fn has_extension(name: &str, extension: &str) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, e)| e.eq_ignore_ascii_case(extension))
}

/// A file on disk; a link may lead anywhere.
fn beside(path: &Path, name: &str) -> Result<Part, OvfError> {
    let about = fs::symlink_metadata(path).map_err(|e| OvfError::disk(name, &e))?;
    match about.is_file() {
        true => Ok(Part {
            path: path.to_owned(),
            offset: 0,
            bytes: about.len(),
        }),
        false => Err(OvfError::lies(name, "it is a link or folder and no file")),
    }
}

/// The header of a VMDK says what kind it is and how large its disk (VMware's Virtual Disk Format 5.0).
fn check_disk(name: &str, part: &Part, capacity: u64) -> Result<(), OvfError> {
    let mut head = Vec::new();
    part.open()
        .and_then(|f| f.take(BLOCK).read_to_end(&mut head))
        .map_err(|e| OvfError::disk(name, &e))?;
    if head.starts_with(&[0x1f, 0x8b]) {
        return Err(OvfError::Unsupported {
            file: name.into(),
            why: "it is compressed with gzip".into(),
            instead: "Unpack it (gzip -d FILE), and let ovftool make a new .ova of the descriptor.",
        });
    }
    let word = |at: usize| {
        head.get(at..at + 4)
            .and_then(|b| b.try_into().ok())
            .map(u32::from_le_bytes)
    };
    let long = |at: usize| {
        head.get(at..at + 8)
            .and_then(|b| b.try_into().ok())
            .map(u64::from_le_bytes)
    };
    /// Flags: compressed, and with markers, as a stream is.
    const STREAM: u32 = 0x3_0000;
    if !head.starts_with(b"KDMV") || word(8).is_none_or(|flags| flags & STREAM != STREAM) {
        return Err(OvfError::Unsupported {
            file: name.into(),
            why: "it is no stream-optimized VMDK, the form in which vCenter takes disks".into(),
            instead: "Convert the template: ovftool TEMPLATE NEW.ova.",
        });
    }
    match long(12).map(|sectors| sectors.saturating_mul(BLOCK)) {
        Some(own) if own == capacity => Ok(()),
        own => {
            let why = format!(
                "the disk in it has {} bytes, and the descriptor says {capacity}",
                own.unwrap_or_default()
            );
            Err(OvfError::lies(name, why))
        }
    }
}

/// The files in an archive (POSIX ustar, with the extensions of GNU and pax for long names and large files).
fn archive(path: &Path, of: &str) -> Result<BTreeMap<String, Part>, OvfError> {
    let mut file = File::open(path).map_err(|e| OvfError::disk(of, &e))?;
    let whole = file.metadata().map_err(|e| OvfError::disk(of, &e))?.len();
    let (mut parts, mut at, mut count) = (BTreeMap::new(), 0_u64, 0);
    // What an extended header says of the next file.
    let (mut long_name, mut long_size) = (None::<String>, None::<u64>);
    while at + BLOCK <= whole {
        let mut block = [0; BLOCK as usize];
        file.seek(SeekFrom::Start(at))
            .and_then(|_| file.read_exact(&mut block))
            .map_err(|e| OvfError::disk(of, &e))?;
        if block.iter().all(|b| *b == 0) {
            return Ok(parts);
        }
        let head = Header::read(&block).ok_or_else(|| OvfError::damaged(of, "it is no archive of the kind tar"))?;
        count += 1;
        if count > MAX_ENTRIES {
            return Err(OvfError::damaged(of, "there are too many files in it"));
        }
        let size = long_size.take().filter(|_| head.is_file()).unwrap_or(head.size);
        let from = at + BLOCK;
        let end = from
            .checked_add(size)
            .filter(|end| *end <= whole)
            .ok_or_else(|| OvfError::damaged(of, "it ends in the middle of a file"))?;
        let part = Part {
            path: path.to_owned(),
            offset: from,
            bytes: size,
        };
        match head.kind {
            b'x' => {
                let text = part.small(of, MAX_SMALL)?;
                for (key, value) in
                    records(&text).ok_or_else(|| OvfError::damaged(of, "an extended header can't be read"))?
                {
                    match key {
                        "path" => long_name = Some(value.to_owned()),
                        "size" => long_size = value.parse().ok(),
                        _ => {}
                    }
                }
            }
            b'L' => long_name = Some(part.small(of, MAX_SMALL)?.trim_end_matches('\0').to_owned()),
            b'g' => {}
            _ if head.is_file() => {
                let name = long_name.take().unwrap_or(head.name);
                // A name in an archive is not encoded as one in a descriptor is.
                let name = plain_name(of, &name.replace('%', "%25"))?;
                if parts.keys().any(|n: &String| n.eq_ignore_ascii_case(&name)) {
                    return Err(OvfError::lies(of, format!("{name} is in it twice")));
                }
                parts.insert(name, part);
            }
            _ => {
                return Err(OvfError::lies(
                    of,
                    format!("{:.80} in it is a link or folder and no file", head.name),
                ));
            }
        }
        // The archive's last file may lack its padding.
        at = end.div_ceil(BLOCK) * BLOCK;
    }
    match parts.is_empty() {
        true => Err(OvfError::damaged(of, "it is empty")),
        false => Ok(parts),
    }
}

struct Header {
    name: String,
    size: u64,
    kind: u8,
}

impl Header {
    fn read(block: &[u8; BLOCK as usize]) -> Option<Header> {
        let text = |range: std::ops::Range<usize>| {
            let bytes = &block[range];
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        };
        let octal = |range| u64::from_str_radix(text(range).trim(), 8).ok();
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(i, b)| u64::from(if (148..156).contains(&i) { b' ' } else { *b }))
            .sum();
        if octal(148..156) != Some(sum) {
            return None;
        }
        // GNU writes sizes that need more than 11 octal digits in binary, marked by the first bit.
        let size = match block[124] & 0x80 {
            0 => octal(124..136)?,
            _ if block[124] == 0x80 && block[125..128].iter().all(|b| *b == 0) => {
                u64::from_be_bytes(block[128..136].try_into().ok()?)
            }
            _ => return None,
        };
        let prefix = if &block[257..263] == b"ustar\0" {
            text(345..500)
        } else {
            String::new()
        };
        let name = match prefix.is_empty() {
            true => text(0..100),
            false => format!("{prefix}/{}", text(0..100)),
        };
        Some(Header {
            name,
            size,
            kind: block[156],
        })
    }

    fn is_file(&self) -> bool {
        matches!(self.kind, b'0' | 0 | b'7')
    }
}

/// The records of a pax header: `27 path=appliance-disk1.vmdk\n`.
fn records(mut text: &str) -> Option<Vec<(&str, &str)>> {
    let mut all = Vec::new();
    while !text.is_empty() {
        let length: usize = text.split_once(' ')?.0.parse().ok()?;
        let record = text.get(..length)?.strip_suffix('\n')?;
        let (key, value) = record.split_once(' ')?.1.split_once('=')?;
        all.push((key, value));
        text = text.get(length..)?;
    }
    Some(all)
}

/// The lines of a manifest: `SHA256(appliance.ovf)= 5f2b…`.
fn sums(of: &str, text: &str) -> Result<Vec<(String, Sum)>, OvfError> {
    let mut all: Vec<(String, Sum)> = Vec::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let sum = || {
            let (algorithm, rest) = line.split_once('(')?;
            let (name, hex) = rest.rsplit_once(')')?;
            let hex = hex.trim().strip_prefix('=')?.trim();
            let (algorithm, bytes) = match algorithm.trim().to_ascii_uppercase().as_str() {
                "SHA1" => (Algorithm::Sha1, 20),
                "SHA256" => (Algorithm::Sha256, 32),
                "SHA512" => (Algorithm::Sha512, 64),
                _ => return None,
            };
            let right = hex.len() == 2 * bytes && hex.bytes().all(|b| b.is_ascii_hexdigit());
            right.then(|| {
                (
                    name,
                    Sum {
                        algorithm,
                        hex: hex.to_owned(),
                    },
                )
            })
        };
        let (name, sum) = sum().ok_or_else(|| OvfError::damaged(of, format!("the line {line:?} is no checksum")))?;
        let name = plain_name(of, &name.replace('%', "%25"))?;
        if all.len() == MAX_ENTRIES || all.iter().any(|(n, _)| *n == name) {
            return Err(OvfError::lies(
                of,
                format!("it has two checksums of {name}, or too many"),
            ));
        }
        all.push((name, sum));
    }
    Ok(all)
}
