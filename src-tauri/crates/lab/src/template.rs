//! A template (OVA) like the one that Microsoft offers for the appliance, for rehearsals and tests: one disk with content, one
//! without, a manifest. Nothing starts from it.

use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

const SECTOR: usize = 512;
const DISK: &str = "appliance-disk1.vmdk";
/// Bytes of the first disk when it is full.
const CAPACITY: u64 = 80 << 30;

/// Writes a template whose disk takes `bytes` in the file (at least 2,048, in sectors of 512). The same size gives the same
/// file.
///
/// # Errors
/// When the file can't be written.
pub fn write(path: &Path, bytes: u64) -> io::Result<()> {
    let bytes = whole_sectors(bytes);
    let descriptor = descriptor(bytes);
    let mut sum = Sha256::new();
    disk(bytes, |piece| {
        sum.update(piece);
        Ok(())
    })?;
    let manifest = format!(
        "SHA256(appliance.ovf)= {}\nSHA256({DISK})= {}\n",
        hex::encode(Sha256::digest(&descriptor)),
        hex::encode(sum.finalize())
    );
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for (name, text) in [("appliance.ovf", &descriptor), ("appliance.mf", &manifest)] {
        out.write_all(&header(name, text.len() as u64))?;
        out.write_all(text.as_bytes())?;
        out.write_all(&vec![0; text.len().next_multiple_of(SECTOR) - text.len()])?;
    }
    out.write_all(&header(DISK, bytes))?;
    disk(bytes, |piece| out.write_all(piece))?;
    out.write_all(&[0; 2 * SECTOR])?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

fn whole_sectors(bytes: u64) -> u64 {
    (bytes / SECTOR as u64).max(4) * SECTOR as u64
}

/// Its descriptor, when the first disk takes `bytes` in the file.
pub fn descriptor(bytes: u64) -> String {
    include_str!("template.ovf").replace("@BYTES@", &bytes.to_string())
}

/// A stream-optimized VMDK as far as its outside goes: header, something that can't be compressed, footer, end.
///
/// # Errors
/// When `each` fails.
pub fn disk(bytes: u64, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut head = [0_u8; SECTOR];
    head[..4].copy_from_slice(b"KDMV");
    head[4] = 3;
    // Compressed grains, markers, and that line ends are checked.
    head[8..12].copy_from_slice(&0x0003_0001_u32.to_le_bytes());
    head[12..20].copy_from_slice(&(CAPACITY / SECTOR as u64).to_le_bytes());
    head[20..28].copy_from_slice(&128_u64.to_le_bytes());
    each(&head)?;
    let mut left = bytes - 3 * SECTOR as u64;
    let (mut state, mut piece) = (0x9e37_79b9_7f4a_7c15_u64, vec![0; 1 << 20]);
    while left > 0 {
        for eight in piece.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            eight.copy_from_slice(&state.to_le_bytes());
        }
        let n = left.min(piece.len() as u64);
        each(&piece[..n as usize])?;
        left -= n;
    }
    each(&head)?;
    each(&[0; SECTOR])
}

/// One of the archive: POSIX ustar, sizes beyond 8 GiB as GNU writes them.
fn header(name: &str, bytes: u64) -> [u8; SECTOR] {
    let mut block = [0; SECTOR];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    match bytes < 1 << 33 {
        true => put(124, format!("{bytes:011o}\0").as_bytes()),
        false => {
            put(124, &[0x80]);
            put(128, &bytes.to_be_bytes());
        }
    }
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
