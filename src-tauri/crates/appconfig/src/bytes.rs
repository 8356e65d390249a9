//! From bytes to text and back, without loss. The byte order mark wins, then what UTF-16 looks like, then the encoding that
//! the XML declaration names, then UTF-8: as .NET reads it.

use crate::BadConfig;
use encoding_rs::Encoding;

/// How a file's text is written down.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Charset {
    Utf8,
    Utf16 {
        big: bool,
    },
    /// One of the older ones; without a state between characters.
    Other(&'static Encoding),
}

/// Returns the charset, the length of the byte order mark, and the text.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Charset, usize, String), BadConfig> {
    let (charset, mark) = charset(bytes)?;
    let body = bytes.get(mark..).unwrap_or_default();
    let text = match charset {
        Charset::Utf8 => std::str::from_utf8(body)
            .map_err(|e| BadConfig::Lossy(mark + e.valid_up_to()))?
            .to_owned(),
        Charset::Utf16 { big } => {
            let units = body.chunks_exact(2).map(|c| match (c, big) {
                (&[a, b], true) => u16::from_be_bytes([a, b]),
                (&[a, b], false) => u16::from_le_bytes([a, b]),
                _ => 0,
            });
            if body.len() % 2 != 0 {
                return Err(BadConfig::Lossy(bytes.len()));
            }
            char::decode_utf16(units)
                .collect::<Result<String, _>>()
                .map_err(|_| BadConfig::Lossy(mark))?
        }
        Charset::Other(other) => other
            .decode_without_bom_handling_and_without_replacement(body)
            .ok_or(BadConfig::Lossy(mark))?
            .into_owned(),
    };
    if charset.encode(&text) != body {
        return Err(BadConfig::Lossy(mark));
    }
    Ok((charset, mark, text))
}

fn charset(bytes: &[u8]) -> Result<(Charset, usize), BadConfig> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Err(BadConfig::Charset("UTF-32".into())),
        [0xef, 0xbb, 0xbf, ..] => return Ok((Charset::Utf8, 3)),
        [0xff, 0xfe, ..] => return Ok((Charset::Utf16 { big: false }, 2)),
        [0xfe, 0xff, ..] => return Ok((Charset::Utf16 { big: true }, 2)),
        [b'<', 0, ..] => return Ok((Charset::Utf16 { big: false }, 0)),
        [0, b'<', ..] => return Ok((Charset::Utf16 { big: true }, 0)),
        _ => {}
    }
    let Some(name) = declared(bytes) else {
        return Ok((Charset::Utf8, 0));
    };
    let unknown = || BadConfig::Charset(name.clone());
    let other = Encoding::for_label(name.as_bytes()).ok_or_else(unknown)?;
    if other == encoding_rs::UTF_8 {
        return Ok((Charset::Utf8, 0));
    }
    // UTF-16 was recognised above: a file that only says so is read by nobody. The others keep a state.
    if [
        encoding_rs::UTF_16LE,
        encoding_rs::UTF_16BE,
        encoding_rs::ISO_2022_JP,
        encoding_rs::REPLACEMENT,
    ]
    .contains(&other)
    {
        return Err(unknown());
    }
    Ok((Charset::Other(other), 0))
}

/// The encoding that the declaration names.
fn declared(bytes: &[u8]) -> Option<String> {
    let head = bytes.strip_prefix(b"<?xml")?;
    let end = head.iter().take(300).position(|b| *b == b'>')?;
    let head = String::from_utf8_lossy(head.get(..end)?).into_owned();
    let after = head
        .split_once("encoding")?
        .1
        .trim_start()
        .strip_prefix('=')?
        .trim_start();
    let mark = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    after.get(1..)?.split(mark).next().map(str::to_owned)
}

impl Charset {
    pub(crate) fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Charset::Utf8 => text.as_bytes().to_vec(),
            Charset::Utf16 { big } => text
                .encode_utf16()
                .flat_map(|u| if big { u.to_be_bytes() } else { u.to_le_bytes() })
                .collect(),
            Charset::Other(other) => other.encode(text).0.into_owned(),
        }
    }

    /// Whether every character can be written as itself. In the others, what is not ASCII is written as a reference: .NET
    /// and this program need not agree about the last character.
    pub(crate) fn is_unicode(self) -> bool {
        !matches!(self, Charset::Other(_))
    }
}
