//! Packets, messages and tokens of TDS 7.2 to 8.0 from the server's side, after [MS-TDS].
//!
//! The crate `tds-protocol` 0.20 was judged for this and is not used: it decodes what a server sends and encodes what a
//! client sends, and has neither a reader for LOGIN7 and RPC nor writers for COLMETADATA, ROW, ENVCHANGE or LOGINACK.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Packets never are larger; clients may ask for less or more, and get this.
pub const PACKET: usize = 4096;
const HEADER: usize = 8;
const LAST: u8 = 1;
/// A client that sends a larger message than this is broken.
const MESSAGE: usize = 64 << 20;

pub mod kind {
    pub const BATCH: u8 = 1;
    pub const RPC: u8 = 3;
    pub const REPLY: u8 = 4;
    pub const ATTENTION: u8 = 6;
    pub const TRANSACTION: u8 = 14;
    pub const LOGIN: u8 = 16;
    pub const SSPI: u8 = 17;
    pub const PRELOGIN: u8 = 18;
}

/// A connection to a client, encrypted or not.
pub trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

pub fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Reads one message: its kind and the payload of all its packets.
pub async fn read_message(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, Bytes)> {
    let mut message = BytesMut::new();
    loop {
        let mut header = [0; HEADER];
        from.read_exact(&mut header).await?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let payload = length
            .checked_sub(HEADER)
            .ok_or_else(|| malformed("a packet is shorter than its header"))?;
        let start = message.len();
        if start + payload > MESSAGE {
            return Err(malformed("a message is too large"));
        }
        message.resize(start + payload, 0);
        from.read_exact(&mut message[start..]).await?;
        if header[1] & LAST != 0 {
            return Ok((header[0], message.freeze()));
        }
    }
}

/// Writes one message in as many packets as it needs.
pub async fn write_message(to: &mut (impl AsyncWrite + Unpin), kind: u8, message: &[u8]) -> io::Result<()> {
    to.write_all(&packets(kind, message)).await?;
    to.flush().await
}

fn packets(kind: u8, message: &[u8]) -> BytesMut {
    let mut all = BytesMut::with_capacity(message.len() + message.len() / 500 + HEADER);
    let mut chunks = message.chunks(PACKET - HEADER).peekable();
    let mut number = 1_u8;
    if message.is_empty() {
        all.put_slice(&[kind, LAST, 0, 8, 0, 0, number, 0]);
    }
    while let Some(chunk) = chunks.next() {
        all.put_slice(&[kind, if chunks.peek().is_none() { LAST } else { 0 }]);
        all.put_u16((chunk.len() + HEADER) as u16);
        all.put_slice(&[0, 0, number, 0]);
        all.put_slice(chunk);
        number = number.wrapping_add(1);
    }
    all
}

/// The transport of a TLS handshake before TDS 8: its records travel inside of PRELOGIN packets, and bare afterwards.
pub struct Handshake<S> {
    pub inner: S,
    /// Set to false when the handshake is over.
    pub wrapped: bool,
    header: Vec<u8>,
    left: usize,
    out: BytesMut,
}

impl<S> Handshake<S> {
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            wrapped: true,
            header: vec![],
            left: 0,
            out: BytesMut::new(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Handshake<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = &mut *self;
        if !me.wrapped {
            return Pin::new(&mut me.inner).poll_read(cx, buf);
        }
        while me.left == 0 {
            let mut byte = [0; HEADER];
            let mut part = ReadBuf::new(&mut byte[me.header.len()..]);
            ready!(Pin::new(&mut me.inner).poll_read(cx, &mut part))?;
            if part.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            me.header.extend_from_slice(part.filled());
            if me.header.len() == HEADER {
                me.left = usize::from(u16::from_be_bytes([me.header[2], me.header[3]])).saturating_sub(HEADER);
                me.header.clear();
            }
        }
        let want = me.left.min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(want));
        ready!(Pin::new(&mut me.inner).poll_read(cx, &mut part))?;
        let n = part.filled().len();
        buf.advance(n);
        me.left -= n;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Handshake<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.wrapped {
            self.out.put(packets(kind::PRELOGIN, buf));
            return Poll::Ready(Ok(buf.len()));
        }
        // What the handshake left goes first.
        while !self.out.is_empty() {
            ready!(self.as_mut().poll_drain(cx))?;
        }
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            ready!(self.as_mut().poll_drain(cx))?;
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: AsyncWrite + Unpin> Handshake<S> {
    fn poll_drain(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let n = ready!(Pin::new(&mut me.inner).poll_write(cx, &me.out))?;
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        me.out.advance(n);
        Poll::Ready(Ok(()))
    }
}

/// How a client wants its connection encrypted, and how a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Encrypt {
    /// Only the login.
    Off = 0,
    On = 1,
    NotSupported = 2,
    Required = 3,
}

/// A client's PRELOGIN.
#[derive(Debug)]
pub struct Prelogin {
    pub encrypt: Encrypt,
    pub instance: String,
    pub federated: bool,
}

impl Prelogin {
    pub fn read(message: &[u8]) -> io::Result<Prelogin> {
        let mut found = Prelogin {
            encrypt: Encrypt::NotSupported,
            instance: String::new(),
            federated: false,
        };
        for at in (0..message.len()).step_by(5) {
            let Some(option) = message.get(at..at + 5).filter(|o| o[0] != 0xFF) else {
                break;
            };
            let start = usize::from(u16::from_be_bytes([option[1], option[2]]));
            let length = usize::from(u16::from_be_bytes([option[3], option[4]]));
            let value = message
                .get(start..start + length)
                .ok_or_else(|| malformed("PRELOGIN names an option beyond its end"))?;
            match (option[0], value) {
                (1, [level, ..]) => {
                    found.encrypt = match level & 3 {
                        0 => Encrypt::Off,
                        1 => Encrypt::On,
                        2 => Encrypt::NotSupported,
                        _ => Encrypt::Required,
                    }
                }
                (2, name) => {
                    found.instance = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
                }
                (6, [yes, ..]) => found.federated = *yes != 0,
                _ => {}
            }
        }
        Ok(found)
    }

    /// The server's answer. `wrong_instance` says that the client asked for another one.
    pub fn answer(&self, version: [u8; 4], encrypt: Encrypt, wrong_instance: bool) -> Vec<u8> {
        let [major, minor, high, low] = version;
        let mut options: Vec<(u8, Vec<u8>)> = vec![
            (0, vec![major, minor, high, low, 0, 0]),
            (1, vec![encrypt as u8]),
            (2, vec![u8::from(wrong_instance)]),
            (3, vec![]),
            (4, vec![0]),
        ];
        if self.federated {
            options.push((6, vec![1]));
        }
        let mut start = options.len() * 5 + 1;
        let mut message = vec![];
        for (token, value) in &options {
            message.put_u8(*token);
            message.put_u16(start as u16);
            message.put_u16(value.len() as u16);
            start += value.len();
        }
        message.put_u8(0xFF);
        message.extend(options.into_iter().flat_map(|o| o.1));
        message
    }
}

/// A client's LOGIN7.
#[derive(Debug, Default)]
pub struct Login {
    pub version: u32,
    pub user: String,
    /// As it was typed; the wire only obfuscates it.
    pub password: String,
    pub database: String,
    /// Beginning of an NTLM exchange.
    pub sspi: Vec<u8>,
    /// An access token of Entra.
    pub token: Option<String>,
}

impl Login {
    pub fn read(message: &[u8]) -> io::Result<Login> {
        let short = || malformed("LOGIN7 ends early");
        let number = |at: usize| -> io::Result<usize> {
            let two = message.get(at..at + 2).ok_or_else(short)?;
            Ok(usize::from(u16::from_le_bytes([two[0], two[1]])))
        };
        let text = |place: usize| -> io::Result<Vec<u8>> {
            let (start, length) = (number(place)?, number(place + 2)?);
            Ok(message.get(start..start + 2 * length).ok_or_else(short)?.to_vec())
        };
        let mut password = text(44)?;
        for b in &mut password {
            *b = (*b ^ 0xA5).rotate_left(4);
        }
        let (sspi, length) = (number(78)?, number(80)?);
        let mut login = Login {
            version: u32::from_le_bytes(message.get(4..8).ok_or_else(short)?.try_into().map_err(|_| short())?),
            user: utf16(&text(40)?),
            password: utf16(&password),
            database: utf16(&text(68)?),
            sspi: message.get(sspi..sspi + length).ok_or_else(short)?.to_vec(),
            token: None,
        };
        // The third option byte announces extensions, whose place stands where another text would.
        if message.get(27).ok_or_else(short)? & 0x10 != 0 {
            let at = number(56)?;
            let mut rest = message.get(at..at + 4).ok_or_else(short)?;
            let mut extension = message.get(rest.get_u32_le() as usize..).ok_or_else(short)?;
            while extension.remaining() > 5 {
                let (feature, length) = (extension.get_u8(), extension.get_u32_le() as usize);
                let data = extension.get(..length).ok_or_else(short)?;
                // Federated authentication with a token of a library: options, then the token with its length.
                if feature == 2 && data.len() > 5 {
                    login.token = Some(utf16(&data[5..]));
                }
                extension.advance(length);
            }
        }
        Ok(login)
    }
}

pub fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|c| u16::from_le_bytes([c[0], c[1]]))
        .collect();
    String::from_utf16_lossy(&units)
}

/// A column's type, as far as the lab's tables have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Bit,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Float,
    /// Precision and scale.
    Numeric(u8, u8),
    /// Length in characters; none = max.
    NVarChar(Option<u16>),
    /// Length in bytes; none = max.
    VarBinary(Option<u16>),
    DateTime,
    Guid,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub of: Type,
}

/// `Latin1_General_CI_AS`, as every collation that the lab announces on the wire.
const COLLATION: [u8; 5] = [0x09, 0x04, 0xD0, 0x00, 0x34];

/// Bits of a DONE token's status.
pub mod done {
    pub const MORE: u16 = 1;
    pub const ERROR: u16 = 2;
    pub const COUNT: u16 = 0x10;
    pub const ATTENTION: u16 = 0x20;
}

/// Which of the three tokens ends a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Batch = 0xFD,
    Procedure = 0xFE,
    Statement = 0xFF,
}

/// An answer while it is written.
#[derive(Default)]
pub struct Tokens(pub BytesMut);

/// What a server says beside its rows.
#[derive(Debug, Clone)]
pub struct Message {
    pub number: u32,
    pub state: u8,
    /// Above 10 it is an error, from 20 on the connection ends.
    pub class: u8,
    pub text: String,
}

impl Message {
    pub fn error(number: u32, state: u8, class: u8, text: impl Into<String>) -> Message {
        Message {
            number,
            state,
            class,
            text: text.into(),
        }
    }
}

impl Tokens {
    fn units(&mut self, text: &str) {
        for unit in text.encode_utf16() {
            self.0.put_u16_le(unit);
        }
    }

    /// With its length in one byte.
    fn short(&mut self, text: &str) {
        let text: String = text.chars().take(120).collect();
        self.0.put_u8(text.encode_utf16().count() as u8);
        self.units(&text);
    }

    /// With its length in two bytes.
    fn long(&mut self, text: &str) {
        self.0.put_u16_le(text.encode_utf16().count() as u16);
        self.units(text);
    }

    /// A token whose length in two bytes stands behind its number.
    fn sized(&mut self, token: u8, body: impl FnOnce(&mut Tokens)) {
        let mut inner = Tokens::default();
        body(&mut inner);
        self.0.put_u8(token);
        self.0.put_u16_le(inner.0.len() as u16);
        self.0.put(inner.0);
    }

    pub fn message(&mut self, server: &str, m: &Message) {
        self.sized(if m.class > 10 { 0xAA } else { 0xAB }, |t| {
            t.0.put_u32_le(m.number);
            t.0.put_u8(m.state);
            t.0.put_u8(m.class);
            t.long(&m.text);
            t.short(server);
            t.short("");
            t.0.put_u32_le(1);
        });
    }

    /// 1 = database, 2 = language, 4 = packet size.
    pub fn change(&mut self, what: u8, new: &str, old: &str) {
        self.sized(0xE3, |t| {
            t.0.put_u8(what);
            t.short(new);
            t.short(old);
        });
    }

    pub fn collation(&mut self) {
        self.sized(0xE3, |t| {
            t.0.put_slice(&[7, 5]);
            t.0.put_slice(&COLLATION);
            t.0.put_u8(0);
        });
    }

    /// A transaction began (8), was committed (9) or rolled back (10).
    pub fn transaction(&mut self, what: u8, descriptor: u64) {
        self.sized(0xE3, |t| {
            let side = |t: &mut Tokens, there: bool| {
                t.0.put_u8(if there { 8 } else { 0 });
                if there {
                    t.0.put_u64_le(descriptor);
                }
            };
            t.0.put_u8(what);
            side(t, what == 8);
            side(t, what != 8);
        });
    }

    /// Sends the client to another address.
    pub fn routing(&mut self, host: &str, port: u16) {
        self.sized(0xE3, |t| {
            t.0.put_u8(20);
            t.0.put_u16_le((5 + host.encode_utf16().count() * 2) as u16);
            t.0.put_u8(0);
            t.0.put_u16_le(port);
            t.long(host);
            t.0.put_u16_le(0);
        });
    }

    pub fn login_ack(&mut self, tds: u32, version: [u8; 4]) {
        self.sized(0xAD, |t| {
            t.0.put_u8(1);
            t.0.put_u32(tds);
            t.short("Microsoft SQL Server");
            t.0.put_slice(&version);
        });
    }

    /// Confirms the sign-in with a token.
    pub fn federated_ack(&mut self) {
        self.0.put_slice(&[0xAE, 2, 0, 0, 0, 0, 0xFF]);
    }

    pub fn sspi(&mut self, data: &[u8]) {
        self.sized(0xED, |t| t.0.put_slice(data));
    }

    pub fn return_status(&mut self, status: i32) {
        self.0.put_u8(0x79);
        self.0.put_i32_le(status);
    }

    pub fn done(&mut self, end: End, status: u16, rows: Option<u64>) {
        self.0.put_u8(end as u8);
        self.0.put_u16_le(status | if rows.is_some() { done::COUNT } else { 0 });
        // 0xC1 is SELECT: clients count its rows.
        self.0.put_u16_le(if rows.is_some() { 0xC1 } else { 0 });
        self.0.put_u64_le(rows.unwrap_or(0));
    }

    pub fn columns(&mut self, columns: &[Column]) {
        self.0.put_u8(0x81);
        self.0.put_u16_le(columns.len() as u16);
        for c in columns {
            self.0.put_u32_le(0);
            // Nullable, and not to be written.
            self.0.put_u16_le(1);
            match c.of {
                Type::Bit => self.0.put_slice(&[0x68, 1]),
                Type::TinyInt => self.0.put_slice(&[0x26, 1]),
                Type::SmallInt => self.0.put_slice(&[0x26, 2]),
                Type::Int => self.0.put_slice(&[0x26, 4]),
                Type::BigInt => self.0.put_slice(&[0x26, 8]),
                Type::Float => self.0.put_slice(&[0x6D, 8]),
                Type::DateTime => self.0.put_slice(&[0x6F, 8]),
                Type::Guid => self.0.put_slice(&[0x24, 16]),
                Type::Numeric(precision, scale) => self.0.put_slice(&[0x6C, numeric_size(precision), precision, scale]),
                Type::NVarChar(length) => {
                    self.0.put_u8(0xE7);
                    self.0.put_u16_le(length.map_or(0xFFFF, |l| 2 * l));
                    self.0.put_slice(&COLLATION);
                }
                Type::VarBinary(length) => {
                    self.0.put_u8(0xA5);
                    self.0.put_u16_le(length.unwrap_or(0xFFFF));
                }
            }
            self.short(&c.name);
        }
    }

    pub fn row(&mut self, columns: &[Column], row: &[Value]) {
        self.0.put_u8(0xD1);
        for (column, value) in columns.iter().zip(row) {
            self.value(column.of, value);
        }
    }

    fn value(&mut self, of: Type, value: &Value) {
        match of {
            Type::Bit | Type::TinyInt | Type::SmallInt | Type::Int | Type::BigInt => {
                let size = match of {
                    Type::Bit | Type::TinyInt => 1,
                    Type::SmallInt => 2,
                    Type::Int => 4,
                    _ => 8,
                };
                match value {
                    Value::Int(n) => {
                        self.0.put_u8(size);
                        self.0.put_int_le(*n, usize::from(size));
                    }
                    Value::Float(x) => {
                        self.0.put_u8(size);
                        self.0.put_int_le(*x as i64, usize::from(size));
                    }
                    _ => self.0.put_u8(0),
                }
            }
            Type::Float => match value {
                Value::Int(n) => self.float(*n as f64),
                Value::Float(x) => self.float(*x),
                _ => self.0.put_u8(0),
            },
            Type::Numeric(precision, scale) => match numeric(value, scale) {
                Some(n) => {
                    let size = numeric_size(precision);
                    self.0.put_slice(&[size, u8::from(n >= 0)]);
                    self.0
                        .put_slice(&n.unsigned_abs().to_le_bytes()[..usize::from(size) - 1]);
                }
                None => self.0.put_u8(0),
            },
            Type::DateTime => match value {
                Value::Text(text) => match days_and_ticks(text) {
                    Some((days, ticks)) => {
                        self.0.put_u8(8);
                        self.0.put_i32_le(days);
                        self.0.put_u32_le(ticks);
                    }
                    None => self.0.put_u8(0),
                },
                _ => self.0.put_u8(0),
            },
            Type::Guid => match value {
                Value::Text(text) => match uuid::Uuid::parse_str(text) {
                    Ok(id) => {
                        self.0.put_u8(16);
                        self.0.put_slice(&id.to_bytes_le());
                    }
                    Err(_) => self.0.put_u8(0),
                },
                _ => self.0.put_u8(0),
            },
            Type::NVarChar(length) => {
                let text = match value {
                    Value::Null => None,
                    Value::Int(n) => Some(n.to_string()),
                    Value::Float(x) => Some(x.to_string()),
                    Value::Text(text) => Some(text.clone()),
                    Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
                };
                let bytes: Option<Vec<u8>> = text.map(|t| t.encode_utf16().flat_map(u16::to_le_bytes).collect());
                self.bytes(length.is_some(), bytes.as_deref());
            }
            Type::VarBinary(length) => {
                let bytes = match value {
                    Value::Bytes(bytes) => Some(bytes.as_slice()),
                    Value::Text(text) => Some(text.as_bytes()),
                    _ => None,
                };
                self.bytes(length.is_some(), bytes);
            }
        }
    }

    fn float(&mut self, x: f64) {
        self.0.put_u8(8);
        self.0.put_f64_le(x);
    }

    /// Bounded: a length in two bytes. Max: total, pieces, an empty piece.
    fn bytes(&mut self, bounded: bool, bytes: Option<&[u8]>) {
        match (bounded, bytes) {
            (true, None) => self.0.put_u16_le(0xFFFF),
            (true, Some(bytes)) => {
                self.0.put_u16_le(bytes.len() as u16);
                self.0.put_slice(bytes);
            }
            (false, None) => self.0.put_u64_le(u64::MAX),
            (false, Some(bytes)) => {
                self.0.put_u64_le(bytes.len() as u64);
                if !bytes.is_empty() {
                    self.0.put_u32_le(bytes.len() as u32);
                    self.0.put_slice(bytes);
                }
                self.0.put_u32_le(0);
            }
        }
    }
}

/// Bytes of a number with so many digits: its sign, and what they need.
fn numeric_size(precision: u8) -> u8 {
    match precision {
        ..=9 => 5,
        10..=19 => 9,
        20..=28 => 13,
        _ => 17,
    }
}

/// In units of the last digit. SQLite has no such numbers: the lab's tables keep the long ones as text.
fn numeric(value: &Value, scale: u8) -> Option<i128> {
    let unit = 10_i128.checked_pow(u32::from(scale))?;
    match value {
        Value::Int(n) => i128::from(*n).checked_mul(unit),
        Value::Text(t) => t.parse::<i128>().ok()?.checked_mul(unit),
        Value::Float(x) => Some((x * unit as f64).round() as i128),
        _ => None,
    }
}

/// Days since 1900 and 300ths of a second since midnight, of `2026-11-21T19:00:00` or a date alone.
fn days_and_ticks(text: &str) -> Option<(i32, u32)> {
    let at: jiff::civil::DateTime = text
        .parse()
        .or_else(|_| text.parse::<jiff::civil::Date>().map(Into::into))
        .ok()?;
    let days = at.date().since(jiff::civil::date(1900, 1, 1)).ok()?.get_days();
    let seconds = i64::from(at.hour()) * 3600 + i64::from(at.minute()) * 60 + i64::from(at.second());
    let ticks = seconds * 300 + i64::from(at.subsec_nanosecond()) * 300 / 1_000_000_000;
    Some((days, ticks as u32))
}

/// Skips the headers that stand before a batch or a call since TDS 7.2.
pub fn without_headers(message: &[u8]) -> io::Result<&[u8]> {
    let total = message.get(..4).ok_or_else(|| malformed("a request without headers"))?;
    let total = u32::from_le_bytes([total[0], total[1], total[2], total[3]]) as usize;
    message
        .get(total..)
        .ok_or_else(|| malformed("headers are longer than the request"))
}

/// A remote procedure call.
#[derive(Debug)]
pub struct Call {
    pub procedure: String,
    /// Names (with `@`, or empty) and values.
    pub parameters: Vec<(String, Value)>,
}

impl Call {
    pub fn read(message: &[u8]) -> io::Result<Call> {
        let mut from = without_headers(message)?;
        let from = &mut from;
        let length = two(from)?;
        let procedure = if length == 0xFFFF {
            match two(from)? {
                10 => "sp_executesql".to_owned(),
                11 => "sp_prepare".to_owned(),
                12 => "sp_execute".to_owned(),
                13 => "sp_prepexec".to_owned(),
                15 => "sp_unprepare".to_owned(),
                n => format!("procedure {n}"),
            }
        } else {
            utf16(take(from, 2 * usize::from(length))?)
        };
        two(from)?;
        let mut parameters = vec![];
        // 0xFF and 0x80 separate several calls in one message; nobody sends those here.
        while !from.is_empty() && from[0] < 0x80 {
            let length = usize::from(one(from)?);
            let name = utf16(take(from, 2 * length)?);
            one(from)?;
            parameters.push((name, parameter(from)?));
        }
        Ok(Call { procedure, parameters })
    }
}

fn take<'a>(from: &mut &'a [u8], n: usize) -> io::Result<&'a [u8]> {
    let (taken, rest) = from
        .split_at_checked(n)
        .ok_or_else(|| malformed("a request ends early"))?;
    *from = rest;
    Ok(taken)
}

fn one(from: &mut &[u8]) -> io::Result<u8> {
    Ok(take(from, 1)?[0])
}

fn two(from: &mut &[u8]) -> io::Result<u16> {
    let b = take(from, 2)?;
    Ok(u16::from_le_bytes([b[0], b[1]]))
}

/// A little-endian number with sign, a single byte without.
fn integer(bytes: &[u8]) -> Value {
    let mut all = [if bytes.len() > 1 && bytes.last().is_some_and(|b| b & 0x80 != 0) {
        0xFF
    } else {
        0
    }; 8];
    all[..bytes.len().min(8)].copy_from_slice(&bytes[..bytes.len().min(8)]);
    Value::Int(i64::from_le_bytes(all))
}

fn float(bytes: &[u8]) -> Value {
    match *bytes {
        [a, b, c, d] => Value::Float(f64::from(f32::from_le_bytes([a, b, c, d]))),
        _ => bytes
            .try_into()
            .map_or(Value::Null, |b| Value::Float(f64::from_le_bytes(b))),
    }
}

/// A parameter's type and value.
fn parameter(from: &mut &[u8]) -> io::Result<Value> {
    let of = one(from)?;
    let fixed = match of {
        0x30 | 0x32 => Some(1),
        0x34 => Some(2),
        0x38 | 0x3B => Some(4),
        0x3E | 0x7F => Some(8),
        _ => None,
    };
    if let Some(n) = fixed {
        let bytes = take(from, n)?;
        return Ok(if matches!(of, 0x3B | 0x3E) {
            float(bytes)
        } else {
            integer(bytes)
        });
    }
    match of {
        // Integers, bits, floats, money, dates and ids with their length in one byte.
        0x24 | 0x26 | 0x68 | 0x6D => {
            one(from)?;
            let length = usize::from(one(from)?);
            let bytes = take(from, length)?;
            Ok(match (of, length) {
                (_, 0) => Value::Null,
                (0x24, 16) => bytes.try_into().map_or(Value::Null, |b| {
                    Value::Text(uuid::Uuid::from_bytes_le(b).to_string().to_uppercase())
                }),
                (0x6D, _) => float(bytes),
                _ => integer(bytes),
            })
        }
        // Text and bytes; text comes with a collation.
        0xE7 | 0xEF | 0xA7 | 0xAF | 0xA5 | 0xAD => {
            let size = two(from)?;
            let text = !matches!(of, 0xA5 | 0xAD);
            if text {
                take(from, 5)?;
            }
            let bytes = if size == 0xFFFF {
                pieces(from)?
            } else {
                match two(from)? {
                    0xFFFF => None,
                    n => Some(take(from, usize::from(n))?.to_vec()),
                }
            };
            Ok(match bytes {
                None => Value::Null,
                Some(b) if matches!(of, 0xE7 | 0xEF) => Value::Text(utf16(&b)),
                Some(b) if text => Value::Text(b.into_iter().map(char::from).collect()),
                Some(b) => Value::Bytes(b),
            })
        }
        // NTEXT, which FreeTDS sends for long statements.
        0x63 => {
            take(from, 4 + 5)?;
            let mut length = take(from, 4)?;
            let length = length.get_i32_le();
            match usize::try_from(length) {
                Ok(n) => Ok(Value::Text(utf16(take(from, n)?))),
                Err(_) => Ok(Value::Null),
            }
        }
        other => Err(malformed(&format!(
            "a parameter of the type 0x{other:02X}, which the lab does not read"
        ))),
    }
}

fn pieces(from: &mut &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut total = take(from, 8)?;
    if total.get_u64_le() == u64::MAX {
        return Ok(None);
    }
    let mut all = vec![];
    loop {
        let mut length = take(from, 4)?;
        match length.get_u32_le() as usize {
            0 => return Ok(Some(all)),
            n => all.extend_from_slice(take(from, n)?),
        }
    }
}
