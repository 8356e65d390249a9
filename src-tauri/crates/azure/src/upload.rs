//! A file into a block blob: several blocks at once, each checked by the service, taken up where it stopped.
//!
//! There is no state beside the file and the service. A block's id is made of its place and its MD5, so what the service holds
//! says by itself what need not be sent again, after a crash as after a pause; the MD5 is sent with the block, too, and the
//! service refuses one that arrived otherwise. The blob appears with the last request, whole; then its list of blocks is read
//! and compared. A block that was acknowledged is never sent twice: a crash costs what was under way, at most one block on
//! each of [`PARALLEL`] connections. Blocks that are never committed are removed by Azure after a week
//! (learn.microsoft.com, Put Block).
//!
//! Memory is that of the blocks under way, whatever the file's size. What is there under the name and is not this file is
//! never overwritten. Nothing retries here: who calls again goes on.

use crate::{AzureError, Blobs, blobs::refusal};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use md5::{Digest, Md5};
use reqwest::Method;
use secrets::Secret;
use serde::Deserialize;
use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

/// Blocks under way at once.
pub const PARALLEL: usize = 4;
/// Small enough for a slow line's time limit of one request, large enough that requests don't count.
const BLOCK: u64 = 4 << 20;
/// A blob has at most so many (learn.microsoft.com, Scalability targets for Blob Storage).
const MOST: u64 = 50_000;

/// Which blob, and a SAS that may read, create and write (`rcw`).
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    pub account: &'a str,
    pub container: &'a str,
    /// May hold `/`.
    pub name: &'a str,
    pub sas: &'a Secret<String>,
}

/// How far it is. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    pub total: u64,
    /// Of them the service had before.
    pub kept: u64,
}

/// Why a file is not in the container.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error(transparent)]
    Azure(#[from] AzureError),
    /// The file can't be read.
    #[error("{} can't be read: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// Somebody has written to the file meanwhile; nothing was committed.
    #[error("{} was changed while it was being uploaded", path.display())]
    Changed { path: PathBuf },
    /// The name is taken by something that is not this file; it is left as it is.
    #[error("{container} holds another blob of the name {name}")]
    Taken { container: String, name: String },
    /// After the last request the service tells of other blocks.
    #[error("{name} in {container} does not consist of what was sent")]
    NotWhole { container: String, name: String },
}

impl UploadError {
    /// Who does what about it, the next click or command.
    pub fn hint(&self) -> String {
        match self {
            Self::Azure(e) => e.advice().hint,
            Self::File { path, .. } => format!(
                "Check that {} is there and that the account which runs Rehost may read it, then choose Retry: what was sent stays.",
                path.display()
            ),
            Self::Changed { path } => format!(
                "Wait until nobody writes to {} (is the backup still running?), then choose Retry.",
                path.display()
            ),
            Self::Taken { container, name } => format!(
                "Look at {name} in {container}; when nobody needs it, delete it there, or give the file another name. Then choose Retry."
            ),
            Self::NotWhole { container, name } => {
                format!("Delete {name} from {container}, and choose Retry. Somebody else may have written to it.")
            }
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Blocks {
    committed_blocks: List,
    uncommitted_blocks: List,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct List {
    #[serde(rename = "Block")]
    blocks: Vec<Block>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Block {
    name: String,
    size: u64,
}

/// What tells that a file is still the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(path: &Path) -> Result<Stamp, UploadError> {
        let read = std::fs::metadata(path).map_err(|source| unreadable(path, source))?;
        Ok(Stamp {
            length: read.len(),
            modified: read.modified().ok(),
        })
    }
}

fn unreadable(path: &Path, source: io::Error) -> UploadError {
    UploadError::File {
        path: path.to_owned(),
        source,
    }
}

/// Bytes of a block, so that a file has no more blocks than a blob may have.
fn block_size(length: u64) -> u64 {
    BLOCK.max(length.div_ceil(MOST).next_multiple_of(1 << 20))
}

/// Reads a block, and names it by its place and its content. All names have the same length, as the service demands.
fn read(path: &Path, place: u64, size: u64, length: u64, mut bytes: BytesMut) -> io::Result<(Bytes, Block, String)> {
    let start = place * size;
    bytes.resize(usize::try_from(size.min(length - start)).map_err(io::Error::other)?, 0);
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut bytes)?;
    let digest = Md5::digest(&bytes);
    let place = u32::try_from(place).map_err(io::Error::other)?;
    let block = Block {
        name: STANDARD.encode([&place.to_be_bytes()[..], &digest].concat()),
        size: bytes.len() as u64,
    };
    Ok((bytes.freeze(), block, STANDARD.encode(digest)))
}

impl Blobs {
    /// Brings a file into a container. `told` hears how far it is, first what the service has already.
    ///
    /// # Errors
    /// See [`UploadError`]. After each of them, and after a crash, another call goes on where this one stopped.
    pub async fn upload(
        &self,
        to: &Destination<'_>,
        path: &Path,
        mut told: impl FnMut(Progress) + Send,
    ) -> Result<(), UploadError> {
        let before = Stamp::of(path)?;
        let there = self.blocks(to).await?;
        // Of a blob that is there nothing is sent: either it is this file, or it is another.
        let finished = there.as_ref().filter(|b| !b.committed_blocks.blocks.is_empty());
        let waiting: HashSet<&Block> = there.iter().flat_map(|b| &b.uncommitted_blocks.blocks).collect();
        let size = block_size(before.length);
        let mut progress = Progress {
            done: 0,
            total: before.length,
            kept: 0,
        };
        told(progress);
        // Memory is taken once for each block under way and goes from one to the next: given back and taken anew by changing
        // threads, the allocator would keep several times as much.
        let spare = Mutex::new(Vec::<BytesMut>::new());
        let spare = || spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sending = stream::iter(0..before.length.div_ceil(size))
            .map(|place| {
                let (path, waiting, spare) = (path.to_owned(), &waiting, &spare);
                async move {
                    let file = path.clone();
                    let memory = spare().pop().unwrap_or_default();
                    let read = tokio::task::spawn_blocking(move || read(&file, place, size, before.length, memory));
                    let read = read.await.unwrap_or_else(|e| Err(io::Error::other(e)));
                    // A file that has become shorter was changed.
                    let (bytes, block, md5) = match read {
                        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(UploadError::Changed { path }),
                        read => read.map_err(|source| unreadable(&path, source)),
                    }?;
                    let kept = finished.is_some() || waiting.contains(&block);
                    if !kept {
                        self.put_block(to, &block, &md5, bytes.clone()).await?;
                    }
                    if let Ok(memory) = bytes.try_into_mut() {
                        spare().push(memory);
                    }
                    Ok::<_, UploadError>((block, kept))
                }
            })
            .buffered(PARALLEL);
        let mut blocks = Vec::new();
        while let Some((block, kept)) = sending.try_next().await? {
            progress.done += block.size;
            progress.kept += if kept { block.size } else { 0 };
            blocks.push(block);
            told(progress);
        }
        drop(sending);
        if Stamp::of(path)? != before {
            return Err(UploadError::Changed { path: path.to_owned() });
        }
        if let Some(there) = finished {
            return if there.committed_blocks.blocks == blocks {
                Ok(())
            } else {
                Err(taken(to))
            };
        }
        self.commit(to, &blocks).await?;
        match self.blocks(to).await? {
            Some(now) if now.committed_blocks.blocks == blocks => Ok(()),
            _ => Err(UploadError::NotWhole {
                container: to.container.to_owned(),
                name: to.name.to_owned(),
            }),
        }
    }

    /// Blocks of a blob, committed and waiting; none when the service knows nothing of the name.
    async fn blocks(&self, to: &Destination<'_>) -> Result<Option<Blocks>, AzureError> {
        let mut url = self.url(to.account, &[to.container, to.name], to.sas)?;
        url.query_pairs_mut()
            .append_pair("comp", "blocklist")
            .append_pair("blocklisttype", "all");
        let answer = self.send(Method::GET, url.clone(), to.sas, &[], None).await?;
        self.judged("GET", &url, &answer, |origin| match answer.status {
            404 if answer.header("x-ms-error-code") != Some("ContainerNotFound") => Ok(None),
            200 => {
                let text = std::str::from_utf8(&answer.body).unwrap_or_default();
                quick_xml::de::from_str(text.trim_start_matches('\u{feff}'))
                    .map(Some)
                    .map_err(|e| origin.parse_error(String::new(), format!("the answer is no list of blocks: {e}")))
            }
            _ => Err(refusal(&answer, origin)),
        })
    }

    async fn put_block(&self, to: &Destination<'_>, block: &Block, md5: &str, bytes: Bytes) -> Result<(), AzureError> {
        let mut url = self.url(to.account, &[to.container, to.name], to.sas)?;
        url.query_pairs_mut()
            .append_pair("comp", "block")
            .append_pair("blockid", &block.name);
        let headers = [("content-md5", md5)];
        let answer = self
            .send(Method::PUT, url.clone(), to.sas, &headers, Some(bytes))
            .await?;
        self.judged("PUT", &url, &answer, |origin| {
            if answer.is_success() {
                Ok(())
            } else {
                Err(refusal(&answer, origin))
            }
        })
    }

    /// Makes the blob of its blocks, unless there is one of its name.
    async fn commit(&self, to: &Destination<'_>, blocks: &[Block]) -> Result<(), UploadError> {
        let mut url = self.url(to.account, &[to.container, to.name], to.sas)?;
        url.query_pairs_mut().append_pair("comp", "blocklist");
        // Base64 needs no escaping.
        let all: String = blocks
            .iter()
            .map(|b| format!("<Uncommitted>{}</Uncommitted>", b.name))
            .collect();
        let body = format!(r#"<?xml version="1.0" encoding="utf-8"?><BlockList>{all}</BlockList>"#);
        let headers = [("if-none-match", "*")];
        let answer = self
            .send(Method::PUT, url.clone(), to.sas, &headers, Some(body.into()))
            .await?;
        if matches!(answer.status, 409 | 412) {
            return Err(taken(to));
        }
        let judged = self.judged("PUT", &url, &answer, |origin| {
            if answer.is_success() {
                Ok(())
            } else {
                Err(refusal(&answer, origin))
            }
        });
        Ok(judged?)
    }
}

fn taken(to: &Destination<'_>) -> UploadError {
    UploadError::Taken {
        container: to.container.to_owned(),
        name: to.name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_any_size_has_no_more_blocks_than_a_blob_may_have() {
        for length in [0, 1, BLOCK, 200 << 30, 8 << 40] {
            let size = block_size(length);
            assert!(length.div_ceil(size) <= MOST && size >= BLOCK, "{length}");
            assert_eq!(size % (1 << 20), 0);
        }
        assert_eq!(block_size(100 << 30), BLOCK);
    }
}
