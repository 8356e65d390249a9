//! What stands between TCP and the first word of TDS: PRELOGIN, and the TLS handshake inside of it.
//!
//! tiberius could do this, but its trust is either the platform's root list with the server's name, or anything at all (its
//! `trust_cert` doesn't even verify the handshake's signature). A SQL Server usually shows a certificate that it made for
//! itself, for no name: the admin must be able to pin it. So the handshake is made here, by the same [`trust::Verifier`] as
//! vCenter's, and tiberius (built without TLS) gets a pipe that is encrypted already and an answer to its own PRELOGIN.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tds_protocol::{
    login7::Login7,
    prelogin::{EncryptionLevel, PreLogin},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;
use winauth::{NextBytes, NtlmV2ClientBuilder};

const HEADER: usize = 8;
const REPLY: u8 = 4;
const LOGIN: u8 = 0x10;
const SSPI: u8 = 0x11;
const PRELOGIN: u8 = 0x12;
const PACKET: usize = 4096;

/// Values of the option ENCRYPTION ([MS-TDS] 2.2.6.5).
pub(crate) mod encrypt {
    pub const OFF: u8 = 0;
    pub const ON: u8 = 1;
    pub const NOT_SUPPORTED: u8 = 2;
    pub const REQUIRED: u8 = 3;
}

/// A server's answer to PRELOGIN.
pub(crate) struct Answer {
    payload: Vec<u8>,
    /// Where in it the ENCRYPTION option lies.
    encryption: Option<usize>,
    /// The server says that it is not the instance that was asked for.
    pub wrong_instance: bool,
    /// Major, minor and build.
    pub version: Option<(u8, u8, u16)>,
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl Answer {
    fn read(payload: Vec<u8>) -> io::Result<Answer> {
        let mut answer = Answer {
            encryption: None,
            wrong_instance: false,
            version: None,
            payload,
        };
        for option in answer.payload.chunks(5).take_while(|o| o[0] != 0xFF) {
            let [token, a, b, c, d] = *option else {
                return Err(malformed("its PRELOGIN ends early"));
            };
            let start = usize::from(u16::from_be_bytes([a, b]));
            let length = usize::from(u16::from_be_bytes([c, d]));
            let value = answer
                .payload
                .get(start..start + length)
                .ok_or_else(|| malformed("its PRELOGIN ends early"))?;
            match (token, value) {
                (0, [major, minor, high, low, ..]) => {
                    answer.version = Some((*major, *minor, u16::from_be_bytes([*high, *low])));
                }
                (1, [_, ..]) => answer.encryption = Some(start),
                (2, [wrong, ..]) => answer.wrong_instance = *wrong != 0,
                _ => {}
            }
        }
        Ok(answer)
    }

    /// What the server wants.
    pub fn encryption(&self) -> u8 {
        self.encryption.map_or(encrypt::NOT_SUPPORTED, |at| self.payload[at])
    }

    /// The packet for tiberius, which has no part in the encryption.
    fn packet(mut self) -> Vec<u8> {
        if let Some(at) = self.encryption {
            self.payload[at] = encrypt::NOT_SUPPORTED;
        }
        packet(REPLY, true, &self.payload)
    }
}

fn packet(kind: u8, last: bool, payload: &[u8]) -> Vec<u8> {
    let [high, low] = ((payload.len() + HEADER) as u16).to_be_bytes();
    let mut packet = vec![kind, u8::from(last), high, low, 0, 0, 1, 0];
    packet.extend_from_slice(payload);
    packet
}

/// Sends PRELOGIN and reads the answer.
///
/// `instance` is named so that a server behind a stale port says that it is another one.
pub(crate) async fn exchange(
    to: &mut (impl AsyncRead + AsyncWrite + Unpin),
    encryption: EncryptionLevel,
    instance: &str,
    federated: bool,
) -> io::Result<Answer> {
    let mut name = instance.as_bytes().to_vec();
    name.push(0);
    let asked = PreLogin::new()
        .with_encryption(encryption)
        .with_instance(instance)
        .with_fed_auth_required(federated);
    write_message(to, PRELOGIN, &asked.encode()).await?;
    Answer::read(read_message(to).await?.payload)
}

/// Signs in with a Windows account by NTLMv2, and returns the server's last words for tiberius, be they good or bad.
///
/// tiberius has this on Windows only: elsewhere it needs a crate (`sspi` 0.18) that insists on pre-release versions of what
/// others here use in their releases.
pub(crate) async fn ntlm(
    to: &mut (impl AsyncRead + AsyncWrite + Unpin),
    login: Login7,
    account: (Option<&str>, &str),
    password: &str,
    service: String,
) -> io::Result<Vec<u8>> {
    let (domain, user) = account;
    let mut exchange = NtlmV2ClientBuilder::new().target_spn(service).build(
        domain.map(str::to_owned),
        user.to_owned(),
        password.to_owned(),
    );
    let mut next = |from: Option<&[u8]>| {
        let bytes = exchange
            .next_bytes(from)
            .map_err(|e| malformed(&format!("NTLM: {e}")))?;
        bytes.ok_or_else(|| malformed("NTLM has nothing to say"))
    };
    let login = login.with_integrated_auth(next(None)?);
    write_message(to, LOGIN, &login.encode()).await?;
    let challenge = read_message(to).await?;
    // A token of its own kind, with its length in two bytes. Everything else is a refusal.
    let &[0xED, low, high, ..] = &challenge.payload[..] else {
        return Ok(challenge.raw);
    };
    let length = usize::from(u16::from_le_bytes([low, high]));
    let token = challenge
        .payload
        .get(3..3 + length)
        .ok_or_else(|| malformed("its challenge ends early"))?;
    write_message(to, SSPI, &next(Some(token))?).await?;
    Ok(read_message(to).await?.raw)
}

async fn write_message(to: &mut (impl AsyncWrite + Unpin), kind: u8, message: &[u8]) -> io::Result<()> {
    let chunks = message.chunks(PACKET - HEADER);
    let last = chunks.len();
    for (n, chunk) in (1..).zip(chunks) {
        to.write_all(&packet(kind, n == last, chunk)).await?;
    }
    to.flush().await
}

/// A server's message.
struct Message {
    /// Its packets as they came.
    raw: Vec<u8>,
    payload: Vec<u8>,
}

async fn read_message(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Message> {
    let mut message = Message {
        raw: vec![],
        payload: vec![],
    };
    loop {
        let mut header = [0; HEADER];
        from.read_exact(&mut header).await?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] != REPLY || length < HEADER {
            return Err(malformed("it does not answer as a SQL Server"));
        }
        let mut part = vec![0; length - HEADER];
        from.read_exact(&mut part).await?;
        message.raw.extend_from_slice(&header);
        message.raw.extend_from_slice(&part);
        message.payload.extend(part);
        if header[1] & 1 == 1 {
            return Ok(message);
        }
        if message.payload.len() > 1 << 20 {
            return Err(malformed("its answer has no end"));
        }
    }
}

/// TCP during a handshake of TDS 7: what TLS writes is packed into PRELOGIN packets, and unpacked on the way back.
pub(crate) struct Packed {
    tcp: TcpStream,
    pub handshaking: bool,
    /// Of the packet that is being read: its header so far, and what is left of it.
    header: Vec<u8>,
    left: usize,
    out: Vec<u8>,
    sent: usize,
}

impl Packed {
    pub fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            handshaking: true,
            header: vec![],
            left: 0,
            out: vec![],
            sent: 0,
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.out.len() {
            let n = ready!(Pin::new(&mut self.tcp).poll_write(cx, &self.out[self.sent..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += n;
        }
        self.out.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Packed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if !me.handshaking {
            return Pin::new(&mut me.tcp).poll_read(cx, buf);
        }
        // TLS waits for an answer: what it wrote must be on its way.
        ready!(me.poll_send(cx))?;
        while me.left == 0 {
            let mut bytes = [0; HEADER];
            let missing = HEADER - me.header.len();
            let mut part = ReadBuf::new(&mut bytes[..missing]);
            ready!(Pin::new(&mut me.tcp).poll_read(cx, &mut part))?;
            if part.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            me.header.extend_from_slice(part.filled());
            if me.header.len() == HEADER {
                let length = usize::from(u16::from_be_bytes([me.header[2], me.header[3]]));
                me.left = length.saturating_sub(HEADER);
                me.header.clear();
            }
        }
        let want = me.left.min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(want));
        ready!(Pin::new(&mut me.tcp).poll_read(cx, &mut part))?;
        let n = part.filled().len();
        buf.advance(n);
        me.left -= n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Packed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        if me.handshaking {
            for chunk in buf.chunks(PACKET - HEADER) {
                me.out.extend(packet(PRELOGIN, true, chunk));
            }
            return Poll::Ready(Ok(buf.len()));
        }
        ready!(me.poll_send(cx))?;
        Pin::new(&mut me.tcp).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        ready!(me.poll_send(cx))?;
        Pin::new(&mut me.tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}

/// How the bytes go.
pub(crate) enum Line {
    Plain(TcpStream),
    /// TLS that began inside of TDS.
    Inside(Box<TlsStream<Packed>>),
    /// TLS around TDS 8.
    Around(Box<TlsStream<TcpStream>>),
}

macro_rules! with_line {
    ($line:expr, $stream:ident => $do:expr) => {
        match $line {
            Line::Plain($stream) => $do,
            Line::Inside($stream) => $do,
            Line::Around($stream) => $do,
        }
    };
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        with_line!(self.get_mut(), s => Pin::new(s).poll_read(cx, buf))
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        with_line!(self.get_mut(), s => Pin::new(s).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with_line!(self.get_mut(), s => Pin::new(s).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with_line!(self.get_mut(), s => Pin::new(s).poll_shutdown(cx))
    }
}

/// A line on which the first words were spoken already: tiberius speaks them too, and gets the answers that came.
pub struct Pipe {
    line: Line,
    /// Answers to the messages that are still to be swallowed.
    script: VecDeque<Vec<u8>>,
    /// What came of the message that is being swallowed.
    seen: Vec<u8>,
    answer: Vec<u8>,
    given: usize,
}

impl Pipe {
    /// `login` is the answer to LOGIN7, when that was sent as well.
    pub(crate) fn new(line: Line, answer: Answer, login: Option<Vec<u8>>) -> Self {
        Self {
            line,
            script: [answer.packet()].into_iter().chain(login).collect(),
            seen: vec![],
            answer: vec![],
            given: 0,
        }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let rest = &me.answer[me.given..];
        if rest.is_empty() {
            return Pin::new(&mut me.line).poll_read(cx, buf);
        }
        let n = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..n]);
        me.given += n;
        Poll::Ready(Ok(()))
    }
}

/// Whether the last packet of a message came whole.
fn is_whole(mut seen: &[u8]) -> bool {
    while let [_, status, high, low, ..] = *seen {
        let length = usize::from(u16::from_be_bytes([high, low])).max(HEADER);
        match seen.get(length..) {
            Some(_) if status & 1 == 1 => return true,
            Some(rest) => seen = rest,
            None => return false,
        }
    }
    false
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        if me.script.is_empty() {
            return Pin::new(&mut me.line).poll_write(cx, buf);
        }
        me.seen.extend_from_slice(buf);
        if is_whole(&me.seen) {
            me.seen.clear();
            me.answer = me.script.pop_front().unwrap_or_default();
            me.given = 0;
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().line).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().line).poll_shutdown(cx)
    }
}
