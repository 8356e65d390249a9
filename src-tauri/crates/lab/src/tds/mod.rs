//! SQL Server on the wire: TDS 7.2 to 7.4 with TLS inside of the protocol, TDS 8 inside of TLS, SQL authentication, NTLM and
//! Entra's tokens, batches, calls of `sp_executesql`, transactions, attention, redirects; and SQL Browser on UDP.
//!
//! Begin with [`serve`] (a connection's life), then `statements` (what is answered) and `data` (by which instance).

pub(crate) mod backups;
mod catalog;
pub(crate) mod certificate;
pub mod data;
pub(crate) mod defects;
pub mod managed;
mod ntlm;
mod security;
mod statements;
mod wire;

use jiff::{SignedDuration, Timestamp};
use std::{io, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    LabError,
    gate::{Gate, Phase},
    tls::SqlIdentity,
};
use data::Encryption;
use statements::{Outcome, Session};
use wire::{Call, Encrypt, End, Handshake, Login, Message, Pipe, Prelogin, Tokens, Value, done, kind};

/// What a listener of one instance needs.
#[derive(Clone)]
pub(crate) struct Service {
    pub gate: Arc<Gate>,
    /// Place of the instance in the world.
    pub instance: usize,
    pub identity: Arc<SqlIdentity>,
    pub stop: CancellationToken,
}

/// Starts an instance on `127.0.0.1:port` (0 = any free one) and returns the port. `service` names the place that it gets.
pub(crate) async fn start(service: Service, spec: data::Spec, port: u16) -> Result<u16, LabError> {
    let place = service.instance;
    let gate = service.gate.clone();
    let instance = data::Instance::new(spec, gate.world().now())?;
    gate.world().onprem.instances.push(instance);
    let port = if gate.world().onprem.instances[place].spec.tcp {
        listen(service, port).await?
    } else {
        0
    };
    gate.world().onprem.instances[place].port = port;
    Ok(port)
}

async fn listen(service: Service, port: u16) -> Result<u16, LabError> {
    let bind = |source| LabError::Bind {
        service: "SQL Server",
        port,
        source,
    };
    let tcp = bound(port).map_err(bind)?;
    let port = tcp.local_addr().map_err(bind)?.port();
    let mut tcp = Some(TcpListener::from_std(tcp).map_err(bind)?);
    let (to, mut told) = mpsc::unbounded_channel();
    service.with(|i| i.listener = Some(to));
    tokio::spawn(async move {
        loop {
            let new = tokio::select! {
                () = accept(&service, tcp.as_ref()) => None,
                new = told.recv() => new,
                () = service.stop.cancelled() => None,
            };
            match new {
                Some(new) => tcp = new.and_then(|n| TcpListener::from_std(n).ok()),
                None => return,
            }
        }
    });
    Ok(port)
}

/// From now on connections to this port wait to be taken.
fn bound(port: u16) -> io::Result<std::net::TcpListener> {
    let tcp = std::net::TcpListener::bind(("127.0.0.1", port))?;
    tcp.set_nonblocking(true)?;
    Ok(tcp)
}

/// Returns when nobody listens at this port.
pub(crate) async fn closed(port: u16) {
    while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

/// Takes connections for ever; without a listener none.
async fn accept(service: &Service, tcp: Option<&TcpListener>) {
    let Some(tcp) = tcp else {
        return std::future::pending().await;
    };
    loop {
        let Ok((stream, _)) = tcp.accept().await else {
            continue;
        };
        let one = service.clone();
        tokio::spawn(async move {
            // A connection ends when the lab does, or when somebody cuts all of this instance.
            let cut = one.gate.world().onprem.instances[one.instance].cut.clone();
            let served = serve(&one, stream);
            tokio::select! {
                ended = served => if let Err(e) = ended {
                    tracing::debug!(error = %e, "a connection to SQL Server ended");
                },
                () = cut.cancelled() => {}
                () = one.stop.cancelled() => {}
            }
        });
    }
}

/// SQL Browser: tells the port of an instance by its name, on UDP.
pub(crate) async fn browse(gate: Arc<Gate>, port: u16, stop: CancellationToken) -> Result<u16, LabError> {
    let bind = |source| LabError::Bind {
        service: "SQL Browser",
        port,
        source,
    };
    let socket = UdpSocket::bind(("127.0.0.1", port)).await.map_err(bind)?;
    let port = socket.local_addr().map_err(bind)?.port();
    tokio::spawn(async move {
        let mut asked = [0; 256];
        loop {
            let (length, from) = tokio::select! {
                read = socket.recv_from(&mut asked) => match read {
                    Ok(read) => read,
                    Err(_) => continue,
                },
                () = stop.cancelled() => return,
            };
            let answer = browser_answer(&gate, &asked[..length]);
            if let Some(answer) = answer {
                let _ = socket.send_to(&answer, from).await;
            }
        }
    });
    Ok(port)
}

fn browser_answer(gate: &Gate, asked: &[u8]) -> Option<Vec<u8>> {
    // 4 = one instance by name, 2 and 3 = all; nobody answers for an instance that isn't there.
    let wanted = match asked {
        [4, name @ ..] => Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned()),
        [2 | 3, ..] => None,
        _ => return None,
    };
    let world = gate.world();
    let text: String = (world.onprem.instances.iter())
        .filter(|i| !i.is_managed())
        .filter(|i| wanted.as_ref().is_none_or(|w| w.eq_ignore_ascii_case(i.service())))
        .map(|i| {
            let [major, minor, high, low] = i.version();
            let tcp = if i.spec.tcp {
                format!("tcp;{};", i.port)
            } else {
                String::new()
            };
            format!(
                "ServerName;{};InstanceName;{};IsClustered;No;Version;{major}.{minor}.{}.0;{tcp};",
                i.spec.computer,
                i.service(),
                u16::from_be_bytes([high, low])
            )
        })
        .collect();
    (!text.is_empty()).then(|| {
        let mut answer = vec![5];
        answer.extend((text.len() as u16).to_le_bytes());
        answer.extend(text.bytes());
        answer
    })
}

/// One connection, from its first byte to its end.
async fn serve(service: &Service, tcp: TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    if service.instance == managed::PLACE && !managed::follow(&mut service.gate.world()) {
        // There is none yet.
        return Ok(());
    }
    let mut first = [0];
    tcp.peek(&mut first).await?;
    let strict = service.with(|i| i.spec.encryption == Encryption::Strict);
    // 0x16 begins a TLS handshake. An instance that wants TDS 8 hears nothing else.
    match (first[0], strict) {
        (0x16, _) => {
            let tls = TlsAcceptor::from(service.identity.strict.clone()).accept(tcp).await?;
            let mut tls = BufReader::new(tls);
            let (of, message) = wire::read_message(&mut tls).await?;
            let asked = prelogin(of, &message)?;
            let answer = service.with(|i| asked.answer(i.version(), Encrypt::On, false));
            wire::write_message(&mut tls, kind::REPLY, &answer).await?;
            let login = wire::read_message(&mut tls).await?;
            Connection::new(service, Box::new(tls), asked.federated)
                .run(login)
                .await
        }
        (_, true) => Ok(()),
        (_, false) => {
            let mut plain = tcp;
            let (of, message) = wire::read_message(&mut plain).await?;
            let asked = prelogin(of, &message)?;
            let (version, wish, wrong) = service.with(|i| {
                let wrong = !asked.instance.is_empty() && !asked.instance.eq_ignore_ascii_case(i.service());
                (i.version(), i.spec.encryption, wrong)
            });
            use {Encrypt::*, data::Encryption as Wish};
            let agreed = match (asked.encrypt, wish) {
                (_, Wish::Impossible) | (NotSupported, Wish::Offered) => NotSupported,
                (Off, Wish::Offered) => Off,
                (Off | NotSupported, Wish::Forced | Wish::Strict) => Required,
                (On | Required, _) => On,
            };
            wire::write_message(&mut plain, kind::REPLY, &asked.answer(version, agreed, wrong)).await?;
            if agreed == NotSupported {
                let login = wire::read_message(&mut plain).await?;
                return Connection::new(service, Box::new(BufReader::new(plain)), asked.federated)
                    .run(login)
                    .await;
            }
            let acceptor = TlsAcceptor::from(service.identity.inside.clone());
            let mut tls = acceptor.accept(Handshake::new(plain)).await?;
            tls.get_mut().0.wrapped = false;
            let login = wire::read_message(&mut tls).await?;
            let pipe: Box<dyn Reader> = if agreed == Off {
                // Only the login was encrypted.
                Box::new(BufReader::new(tls.into_inner().0.inner))
            } else {
                Box::new(BufReader::new(tls))
            };
            Connection::new(service, pipe, asked.federated).run(login).await
        }
    }
}

fn prelogin(of: u8, message: &[u8]) -> io::Result<Prelogin> {
    if of != kind::PRELOGIN {
        return Err(wire::malformed("a connection must begin with PRELOGIN"));
    }
    Prelogin::read(message)
}

/// A pipe that can be waited on without taking anything from it.
trait Reader: Pipe + tokio::io::AsyncBufRead {}
impl<T: Pipe + tokio::io::AsyncBufRead> Reader for T {}

impl Service {
    fn with<T>(&self, ask: impl FnOnce(&mut data::Instance) -> T) -> T {
        ask(&mut self.gate.world().onprem.instances[self.instance])
    }
}

struct Connection<'a> {
    service: &'a Service,
    pipe: Box<dyn Reader>,
    federated: bool,
    session: Session,
    server: String,
    /// Of the transaction that is open.
    transaction: u64,
    /// Statements with the names of their parameters, by their handles.
    prepared: Vec<String>,
}

/// How a login ended that was no success.
enum Denied {
    Message(Message),
    Redirect(String, u16),
    Broken(io::Error),
}

impl From<io::Error> for Denied {
    fn from(e: io::Error) -> Self {
        Denied::Broken(e)
    }
}

fn failed(user: &str, why: &str) -> Denied {
    Denied::Message(Message::error(
        18456,
        1,
        14,
        format!("Login failed for user '{user}'.{why}"),
    ))
}

impl<'a> Connection<'a> {
    fn new(service: &'a Service, pipe: Box<dyn Reader>, federated: bool) -> Self {
        Self {
            service,
            pipe,
            federated,
            session: Session::default(),
            server: service.with(|i| i.full_name()),
            transaction: 0,
            prepared: vec![],
        }
    }

    async fn reply(&mut self, tokens: &Tokens) -> io::Result<()> {
        wire::write_message(&mut self.pipe, kind::REPLY, &tokens.0).await
    }

    async fn run(mut self, (of, message): (u8, bytes::Bytes)) -> io::Result<()> {
        if of != kind::LOGIN {
            return Err(wire::malformed("no LOGIN7 after PRELOGIN"));
        }
        let login = Login::read(&message)?;
        let mut tokens = Tokens::default();
        match self.sign_in(&login).await {
            Ok(()) => {}
            Err(Denied::Broken(e)) => return Err(e),
            Err(Denied::Message(m)) => {
                tokens.message(&self.server, &m);
                tokens.done(End::Batch, done::ERROR, None);
                self.reply(&tokens).await?;
                return self.pipe.shutdown().await;
            }
            Err(Denied::Redirect(host, port)) => {
                self.welcome(&mut tokens, &login);
                tokens.routing(&host, port);
                tokens.done(End::Batch, 0, None);
                self.reply(&tokens).await?;
                return self.pipe.shutdown().await;
            }
        }
        self.welcome(&mut tokens, &login);
        tokens.done(End::Batch, 0, None);
        self.reply(&tokens).await?;
        loop {
            let (of, message) = match wire::read_message(&mut self.pipe).await {
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(e) => return Err(e),
            };
            match of {
                kind::BATCH => {
                    let batch = wire::utf16(wire::without_headers(&message)?);
                    self.batch(&batch, &[], false).await?;
                }
                kind::RPC => self.call(Call::read(&message)?).await?,
                kind::TRANSACTION => self.transact(&message).await?,
                kind::ATTENTION => self.attention().await?,
                other => return Err(wire::malformed(&format!("a message of kind {other}"))),
            }
        }
    }

    fn welcome(&self, tokens: &mut Tokens, login: &Login) {
        let database = self.session.database.as_str();
        let say = |number, text: String| Message {
            number,
            state: 1,
            class: 0,
            text,
        };
        tokens.change(1, database, "master");
        tokens.message(
            &self.server,
            &say(5701, format!("Changed database context to '{database}'.")),
        );
        tokens.collation();
        tokens.change(2, "us_english", "");
        tokens.message(
            &self.server,
            &say(5703, "Changed language setting to us_english.".into()),
        );
        // Also around TDS 8 a client may speak of 7.4, and most do.
        let version = self.service.with(|i| i.version());
        tokens.login_ack(login.version, version);
        tokens.change(4, &wire::PACKET.to_string(), &wire::PACKET.to_string());
        if login.token.is_some() {
            tokens.federated_ack();
        }
    }

    async fn sign_in(&mut self, login: &Login) -> Result<(), Denied> {
        if login.version != 0x0800_0000 && login.version < 0x7209_0002 {
            return Err(failed(&login.user, " The lab speaks TDS 7.2 and newer."));
        }
        if let Some((host, port)) = self.service.with(|i| i.spec.redirect.clone()) {
            return Err(Denied::Redirect(host, port));
        }
        let (name, sysadmin, default) = if let Some(token) = &login.token {
            if !self.federated {
                return Err(failed("", " A token needs FEDAUTHREQUIRED in PRELOGIN."));
            }
            let name = crate::entra::database_caller(&self.service.gate.world(), token)
                .map_err(|why| failed("<token-identified principal>", why))?;
            (name, true, "master".to_owned())
        } else {
            let user = if login.sspi.is_empty() {
                let refused = || failed(&login.user, "");
                self.service.with(|i| {
                    let known = i.login(&login.user).filter(|l| !l.windows).ok_or_else(refused)?;
                    if !i.admits_password(&known.clone(), &login.password) {
                        return Err(refused());
                    }
                    Ok(known.clone())
                })?
            } else {
                self.ntlm(&login.sspi).await?
            };
            let deny = |number, text: String| Err(Denied::Message(Message::error(number, 1, 14, text)));
            if user.disabled {
                return deny(
                    18470,
                    format!(
                        "Login failed for user '{}'. Reason: The account is disabled.",
                        user.name
                    ),
                );
            }
            if user.must_change {
                return deny(
                    18488,
                    format!(
                        "Login failed for user '{}'.  Reason: The password of the account must be changed.",
                        user.name
                    ),
                );
            }
            (user.name, user.sysadmin, user.default_database)
        };
        let wanted = if login.database.is_empty() {
            default
        } else {
            login.database.clone()
        };
        let open = |i: &mut data::Instance| {
            let found = i.database(&wanted)?.to_owned();
            let of = i.spec.databases.iter().find(|d| d.name == found);
            let open = of.is_none_or(|d| d.state == "ONLINE" && (sysadmin || i.mapped(&found, &name)));
            i.sessions += 1;
            open.then_some((found, 50 + i.sessions))
        };
        let Some((database, id)) = self.service.with(open) else {
            let text = format!("Cannot open database \"{wanted}\" requested by the login. The login failed.");
            return Err(Denied::Message(Message::error(4060, 1, 11, text)));
        };
        self.session = Session {
            id,
            login: name,
            database,
            sysadmin,
            federated: login.token.is_some(),
            context: vec![],
        };
        Ok(())
    }

    /// Goes through NTLM's three messages, of which the first came with the login.
    async fn ntlm(&mut self, first: &[u8]) -> Result<data::Login, Denied> {
        let untrusted = || {
            let text = "Login failed. The login is from an untrusted domain and cannot be used with Integrated authentication.";
            Denied::Message(Message::error(18452, 1, 14, text))
        };
        if !first.starts_with(b"NTLMSSP\0") {
            return Err(untrusted());
        }
        let nonce: [u8; 8] = self.service.gate.world().new_guid().as_u64_pair().0.to_le_bytes();
        // From 1601 to 1970 there are 11,644,473,600 seconds.
        let filetime = (self.service.gate.clock.now().as_second() + 11_644_473_600) as u64 * 10_000_000;
        let computer = self.service.with(|i| i.spec.computer.clone());
        let mut tokens = Tokens::default();
        tokens.sspi(&ntlm::challenge(first, nonce, "CONTOSO", &computer, filetime));
        self.reply(&tokens).await?;
        let (of, message) = wire::read_message(&mut self.pipe).await?;
        if !matches!(of, kind::SSPI | kind::LOGIN) {
            return Err(Denied::Broken(wire::malformed("no answer to the challenge")));
        }
        let answer = ntlm::answer(&message).ok_or_else(untrusted)?;
        let name = format!(r"{}\{}", answer.domain, answer.user);
        self.service.with(|i| {
            let known = i.login(&name).filter(|l| l.windows).ok_or_else(|| failed(&name, ""))?;
            if answer.proves(nonce, &known.password) {
                Ok(known.clone())
            } else {
                Err(untrusted())
            }
        })
    }

    async fn attention(&mut self) -> io::Result<()> {
        let mut tokens = Tokens::default();
        tokens.done(End::Batch, done::ATTENTION, None);
        self.reply(&tokens).await
    }

    async fn transact(&mut self, message: &[u8]) -> io::Result<()> {
        let asked = wire::without_headers(message)?;
        let mut tokens = Tokens::default();
        match asked {
            [5, 0, ..] => {
                self.transaction += 1;
                tokens.transaction(8, self.transaction);
            }
            [7, 0, ..] => tokens.transaction(9, self.transaction),
            [8, 0, ..] => tokens.transaction(10, self.transaction),
            _ => {}
        }
        tokens.done(End::Batch, 0, None);
        self.reply(&tokens).await
    }

    async fn call(&mut self, call: Call) -> io::Result<()> {
        let text = |at: usize| match call.parameters.get(at) {
            Some((_, Value::Text(text))) => Some(text.clone()),
            _ => None,
        };
        let name = call.procedure.to_lowercase();
        let name = name.rsplit('.').next().unwrap_or_default();
        match (name, text(0), text(2)) {
            ("sp_executesql", Some(batch), _) => {
                let parameters = named(text(1).as_deref(), &call.parameters[2.min(call.parameters.len())..]);
                self.batch(&batch, &parameters, true).await
            }
            ("sp_prepexec", _, Some(batch)) => {
                let parameters = named(text(1).as_deref(), &call.parameters[3..]);
                self.prepared.push(batch.clone());
                self.batch(&batch, &parameters, true).await
            }
            ("sp_unprepare", ..) => self.batch("", &[], true).await,
            _ => {
                let mut tokens = Tokens::default();
                let text = format!("Could not find stored procedure '{}'.", call.procedure);
                tokens.message(&self.server, &Message::error(2812, 62, 16, text));
                tokens.done(End::Procedure, done::ERROR, None);
                self.reply(&tokens).await
            }
        }
    }

    /// Carries out what changes something around the databases; none = the batch is something else.
    fn administer(&mut self, batch: &str) -> Option<Outcome> {
        let mut world = self.service.gate.world();
        if self.service.instance == managed::PLACE {
            managed::follow(&mut world);
        }
        let instance = &mut world.onprem.instances[self.service.instance];
        instance.heard.push(batch.to_owned());
        let outcome = instance.administer(&self.session, batch)?;
        let changed = std::mem::take(&mut instance.changed);
        if let Outcome::Database(name) = &outcome {
            self.session.database.clone_from(name);
        }
        if changed && self.service.instance == managed::PLACE && !matches!(outcome, Outcome::Refused(_)) {
            let (login, database) = (&self.session.login, &self.session.database);
            self.service.gate.keep_statement(login, database, batch);
        }
        Some(outcome)
    }

    /// Waits until a lab time, unless an attention comes first, or the client's end.
    async fn wait(&mut self, until: Timestamp) -> io::Result<Waited> {
        let clock = self.service.gate.clock.clone();
        tokio::select! {
            () = clock.sleep_until(until) => return Ok(Waited::Out),
            // Whatever comes meanwhile is an attention, or the client's end.
            read = self.pipe.fill_buf() => {
                if read?.is_empty() {
                    return Ok(Waited::Gone);
                }
            }
        }
        let (of, _) = wire::read_message(&mut self.pipe).await?;
        if of != kind::ATTENTION {
            return Err(wire::malformed("a request while another one is answered"));
        }
        Ok(Waited::Attention)
    }

    async fn back_up(&mut self, statement: &[security::Part]) -> io::Result<Backed> {
        let place = self.service.instance;
        let gate = self.service.gate.clone();
        let keep = |at| {
            if let Some(sql) = backups::kept(statement) {
                gate.keep_on_premises(at, place, sql);
            }
        };
        let begun = {
            let mut world = self.service.gate.world();
            let begun = backups::begin(&mut world, place, &self.session, statement);
            if matches!(begun, Ok(backups::Step::Now)) {
                keep(world.now());
            }
            world.touch();
            begun
        };
        let work = match begun {
            Ok(backups::Step::Now) => return Ok(Backed::Done),
            Ok(backups::Step::Context(context)) => {
                self.session.context = context;
                return Ok(Backed::Done);
            }
            Ok(backups::Step::Rows(columns, rows)) => return Ok(Backed::Rows(columns, rows)),
            Err(refused) => return Ok(Backed::Refused(refused)),
            Ok(backups::Step::Later(work)) => work,
        };
        let taken = work.backup().map(|b| format!("BACKUP {b}"));
        let label = taken.as_ref().map(|t| format!("TDS {t}"));
        if label.as_ref().is_some_and(|l| gate.trips(l, Phase::Before)) {
            gate.held().await;
            return Ok(Backed::Gone);
        }
        let until = backups::enter(&mut self.service.gate.world(), place, &self.session, &work);
        // It is no longer seen when the connection is cut, either.
        let _seen = Seen(self.service, self.session.id);
        match self.wait(until).await? {
            Waited::Attention => return Ok(Backed::Attention),
            Waited::Gone => return Ok(Backed::Gone),
            Waited::Out => {}
        }
        let ended = {
            let mut world = self.service.gate.world();
            if work.breaks {
                world.onprem.sql.cut_backups -= 1;
                return Ok(Backed::Gone);
            }
            let ended = backups::finish(&mut world, place, work);
            if ended.is_ok() {
                keep(world.now());
                if let Some(taken) = &taken {
                    world.counters.mutation("TDS", taken);
                }
            }
            world.touch();
            ended
        };
        if ended.is_ok() && label.is_some_and(|l| gate.trips(&l, Phase::After)) {
            gate.held().await;
            return Ok(Backed::Gone);
        }
        Ok(match ended {
            Ok(()) => Backed::Done,
            Err(refused) => Backed::Refused(refused),
        })
    }

    /// Carries out a batch, and answers when all of it is done or a client's attention came.
    async fn batch(&mut self, batch: &str, parameters: &[(String, Value)], call: bool) -> io::Result<()> {
        let mut tokens = Tokens::default();
        let backup = security::split(batch).filter(|all| !all.is_empty() && all.iter().all(|s| backups::known(s)));
        if let Some(statements) = backup {
            for statement in &statements {
                match self.back_up(statement).await? {
                    Backed::Done => {}
                    Backed::Rows(columns, rows) => {
                        tokens.columns(&columns);
                        rows.iter().for_each(|r| tokens.row(&columns, r));
                        tokens.done(End::Batch, done::MORE, Some(rows.len() as u64));
                    }
                    Backed::Refused(m) => {
                        tokens.message(&self.server, &m);
                        if matches!(statement.first(), Some(security::Part::Word(w)) if w == "BACKUP" || w == "RESTORE")
                        {
                            let text = "BACKUP or RESTORE is terminating abnormally.";
                            tokens.message(&self.server, &Message::error(3013, 1, 16, text));
                        }
                        tokens.done(End::Batch, done::ERROR, None);
                        return self.reply(&tokens).await;
                    }
                    Backed::Attention => {
                        tokens.done(End::Batch, done::ATTENTION, None);
                        return self.reply(&tokens).await;
                    }
                    Backed::Gone => return Err(io::ErrorKind::ConnectionReset.into()),
                }
            }
            tokens.done(End::Batch, 0, None);
            return self.reply(&tokens).await;
        }
        let gate = &self.service.gate;
        let changes = self.service.instance == managed::PLACE && security::changes(batch);
        let label = format!("TDS {batch}");
        if changes && gate.trips(&label, Phase::Before) {
            gate.held().await;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if let Some(outcome) = self.administer(batch) {
            if changes && !matches!(outcome, Outcome::Refused(_)) {
                {
                    let mut world = gate.world();
                    world.counters.mutation("TDS", batch);
                    world.touch();
                }
                if gate.trips(&label, Phase::After) {
                    gate.held().await;
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
            match outcome {
                Outcome::Refused(m) => {
                    tokens.message(&self.server, &m);
                    tokens.done(if call { End::Procedure } else { End::Batch }, done::ERROR, None);
                }
                _ => tokens.done(if call { End::Procedure } else { End::Batch }, 0, None),
            }
            return self.reply(&tokens).await;
        }
        let each = if call { End::Statement } else { End::Batch };
        let statements = match statements::read(batch) {
            Ok(all) => all,
            Err(m) => {
                tokens.message(&self.server, &m);
                tokens.done(if call { End::Procedure } else { End::Batch }, done::ERROR, None);
                return self.reply(&tokens).await;
            }
        };
        let mut error = 0;
        let count = statements.len();
        for (i, statement) in statements.into_iter().enumerate() {
            let more = if i + 1 < count || call { done::MORE } else { 0 };
            let session = self.session.clone();
            let now = self.service.gate.clock.now();
            let outcome = self.service.with(|i| {
                i.show_requests(now);
                i.run(&session, statement, parameters)
            });
            match outcome {
                Outcome::Rows(columns, rows) => {
                    tokens.columns(&columns);
                    rows.iter().for_each(|r| tokens.row(&columns, r));
                    tokens.done(each, more, Some(rows.len() as u64));
                }
                Outcome::Nothing => tokens.done(each, more, None),
                Outcome::Database(name) => {
                    tokens.change(1, &name, &self.session.database);
                    self.session.database = name;
                    tokens.done(each, more, None);
                }
                Outcome::Say(text) => {
                    let say = Message {
                        number: 0,
                        state: 1,
                        class: 0,
                        text,
                    };
                    tokens.message(&self.server, &say);
                    tokens.done(each, more, None);
                }
                Outcome::Wait(time) => {
                    let until = self.service.gate.clock.now() + SignedDuration::try_from(time).unwrap_or_default();
                    match self.wait(until).await? {
                        Waited::Out => {}
                        Waited::Gone => return Ok(()),
                        Waited::Attention => {
                            tokens.done(End::Batch, done::ATTENTION, None);
                            return self.reply(&tokens).await;
                        }
                    }
                    tokens.done(each, more, None);
                }
                Outcome::Refused(m) => {
                    tokens.message(&self.server, &m);
                    error = done::ERROR;
                    if !call {
                        tokens.done(End::Batch, error, None);
                    }
                    break;
                }
            }
        }
        if call {
            if error == 0 {
                tokens.return_status(0);
            }
            tokens.done(End::Procedure, error, None);
        } else if count == 0 {
            tokens.done(End::Batch, 0, None);
        }
        self.reply(&tokens).await
    }
}

/// How a wait ended.
enum Waited {
    Out,
    Attention,
    Gone,
}

/// How a statement about backups ended.
enum Backed {
    Done,
    Rows(Vec<wire::Column>, Vec<Vec<Value>>),
    Refused(Message),
    Attention,
    Gone,
}

/// A session's work, seen by others until this goes.
struct Seen<'a>(&'a Service, u16);

impl Drop for Seen<'_> {
    fn drop(&mut self) {
        backups::leave(&mut self.0.gate.world(), self.0.instance, self.1);
    }
}

/// Values by the names of a declaration (`@P1 int, @P2 nvarchar(10)`), for those that came without.
fn named(declared: Option<&str>, values: &[(String, Value)]) -> Vec<(String, Value)> {
    let names: Vec<String> = (declared.unwrap_or_default().split(','))
        .filter_map(|d| d.split_whitespace().next())
        .filter(|n| n.starts_with('@'))
        .map(str::to_owned)
        .collect();
    let name = |i: usize, given: &str| {
        if given.is_empty() {
            names.get(i).cloned().unwrap_or_default()
        } else {
            given.to_owned()
        }
    };
    (values.iter().enumerate())
        .map(|(i, (n, v))| (name(i, n), v.clone()))
        .collect()
}
