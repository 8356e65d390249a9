//! The client against a server that answers what no simulator does: compressed, too much, too early, or nothing of vSphere's.

mod support;

use plan::design::VCenterConnection;
use std::sync::{Arc, Mutex};
use support::{Recorder, connect, identity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vsphere::{ErrorClass, VsphereError};

/// Serves the same answers in turn to each request, one connection each; keeps the requests' heads.
struct Server {
    connection: VCenterConnection,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answers: Vec<Vec<u8>>) -> Server {
        let identity = identity("vcenter.contoso.com");
        let acceptor = tokio_rustls::TlsAcceptor::from(identity.config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let connection = VCenterConnection {
            url: format!("https://{}", listener.local_addr().expect("its address")),
            user: "somebody".into(),
            thumbprint: identity.thumbprint,
            ..VCenterConnection::default()
        };
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = heads.clone();
        tokio::spawn(async move {
            let mut answers = answers.into_iter().cycle();
            while let Ok((peer, _)) = listener.accept().await {
                let Ok(mut peer) = acceptor.accept(peer).await else {
                    continue;
                };
                let mut head = vec![0; 16 << 10];
                let read = peer.read(&mut head).await.unwrap_or_default();
                kept.lock()
                    .expect("the heads")
                    .push(String::from_utf8_lossy(&head[..read]).into_owned());
                let _ = peer.write_all(&answers.next().expect("an answer")).await;
                let _ = peer.shutdown().await;
            }
        });
        Server { connection, heads }
    }

    async fn refusal(&self) -> VsphereError {
        connect(&self.connection, "canary", Arc::new(Recorder::default()))
            .await
            .expect_err("no vCenter")
    }
}

fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// A gzip file whose content is not compressed.
fn stored(content: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for (i, block) in content.chunks(0xffff).enumerate() {
        let last = (i + 1) * 0xffff >= content.len();
        let length = u16::try_from(block.len()).expect("short");
        file.push(u8::from(last));
        file.extend(length.to_le_bytes());
        file.extend((!length).to_le_bytes());
        file.extend(block);
    }
    let crc = content.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| {
            if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 }
        })
    });
    file.extend((!crc).to_le_bytes());
    file.extend(u32::try_from(content.len()).expect("short").to_le_bytes());
    file
}

/// A gzip file of `mebibytes` spaces in a five-hundredth of that: one space, then copies of it in the fixed code.
fn bomb(mebibytes: usize) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let (mut bits, mut held) = (0_u32, 0);
    let mut put = |code: u32, length: u32, reversed: bool| {
        for i in 0..length {
            let bit = if reversed { code >> (length - 1 - i) } else { code >> i } & 1;
            bits |= bit << held;
            held += 1;
            if held == 8 {
                file.push(u8::try_from(bits).expect("a byte"));
                (bits, held) = (0, 0);
            }
        }
    };
    put(0b011, 3, false);
    put(0b0011_0000 + u32::from(b' '), 8, true);
    for _ in 0..mebibytes * (1 << 20) / 258 {
        // Length 258, distance 1.
        put(0b1100_0101, 8, true);
        put(0, 5, true);
    }
    put(0, 7, true);
    put(0, 8, false);
    file
}

#[tokio::test]
async fn compressed_answers_are_read_within_limits() {
    let versions = "<namespaces><namespace><name>urn:vim25</name><version>7.0</version></namespace></namespaces>";
    let content = concat!(
        "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body><RetrieveServiceContentResponse ",
        "xmlns=\"urn:vim25\"><returnval><about/></returnval></RetrieveServiceContentResponse></e:Body></e:Envelope>"
    );
    let zipped = |body: &str| http("200 OK", "content-encoding: gzip\r\n", &stored(body.as_bytes()));
    let server = Server::start(vec![zipped(versions), zipped(content)]).await;
    let error = server.refusal().await;
    assert!(
        matches!(&error, VsphereError::Parse { detail, .. } if detail.contains("rootFolder")),
        "it was read: {error:?}"
    );
    let heads = server.heads.lock().expect("the heads").clone();
    assert_eq!(heads.len(), 2);
    assert!(
        heads.iter().all(|h| h.to_lowercase().contains("accept-encoding: gzip")),
        "{heads:?}"
    );
    assert!(
        heads[1].contains("urn:vim25/7.0") && heads[1].contains("Rehost/"),
        "{heads:?}"
    );

    let server = Server::start(vec![http("200 OK", "content-encoding: gzip\r\n", &bomb(80))]).await;
    let error = server.refusal().await;
    assert!(
        matches!(&error, VsphereError::Parse { detail, .. } if detail.contains("64 MiB")),
        "{error:?}"
    );
    // Shorter than it says.
    let mut cut = zipped(versions);
    cut.truncate(cut.len() - 20);
    let error = Server::start(vec![cut]).await.refusal().await;
    assert_eq!(
        (error.code(), error.class()),
        ("Unreachable", ErrorClass::Transient),
        "{error:?}"
    );
    let garbage = http("200 OK", "content-encoding: gzip\r\n", b"not compressed");
    let error = Server::start(vec![garbage]).await.refusal().await;
    assert_eq!(
        (error.code(), error.class()),
        ("Parse", ErrorClass::Permanent),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_web_server_in_vcenters_place_is_told_from_vcenter() {
    let page = b"<html><body>503 Service Unavailable (Failed to connect to endpoint)</body></html>";
    for (status, code, class, title) in [
        (
            "503 Service Unavailable",
            "ServiceUnavailable",
            ErrorClass::Transient,
            "vCenter's services are not ready",
        ),
        (
            "502 Bad Gateway",
            "ServiceUnavailable",
            ErrorClass::Transient,
            "vCenter's services are not ready",
        ),
        ("200 OK", "Parse", ErrorClass::Permanent, "This is not a vCenter answer"),
        (
            "403 Forbidden",
            "NotVsphere",
            ErrorClass::Permanent,
            "This is not a vCenter answer",
        ),
        (
            "302 Found",
            "NotVsphere",
            ErrorClass::Permanent,
            "This is not a vCenter answer",
        ),
    ] {
        let error = Server::start(vec![http(status, "", page)]).await.refusal().await;
        assert_eq!((error.code(), error.class()), (code, class), "{status}: {error:?}");
        let advice = error.advice();
        assert_eq!(advice.title, title, "{status}");
        assert!(advice.hint.contains("127.0.0.1"), "{advice:?}");
    }
}
