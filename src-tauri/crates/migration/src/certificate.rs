//! The certificate of an encrypted database (TDE) is brought from the source to the managed instance.
//!
//! Decisions:
//! * Certificate, key and password are in memory only: no file, no fact and no evidence holds them, and the trace of the
//!   request loses them as it loses every password.
//! * A managed instance does not show what was uploaded to it (learn.microsoft.com: Migrate a certificate of a TDE-protected
//!   database, 2023-04-06). That it is there is the end of Azure's operation, noted as a fact by thumbprint, so that a second
//!   database with the same certificate needs no second upload.
//! * After a crash nobody knows whether the upload arrived: it is sent again. The specification calls the operation *created
//!   or updated*, so that a certificate that is there takes no harm (unverified).

use crate::{
    Links,
    arm::{follow, handle},
    source::blocked,
    words,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use engine::{Ctx, Failure, FailureClass, Handle, Observed, TaskKind};
use plan::{
    Action, DatabaseMethod, Follow, ResourceId, rules,
    rules::sql::{SqlCase, SqlTarget, SqlWay},
};
use secrets::Secret;
use serde_json::{Value, json};
use sqlserver::{Client, SqlError, facts};
use std::sync::Arc;

/// Beginning of the facts' names; a thumbprint follows.
const FACT: &str = "certificate.";
/// The run has brought it.
const BROUGHT: &str = "brought";
/// A person was asked for it.
const ASKED: &str = "asked";

fn noted(ctx: &Ctx, thumbprint: &str) -> Option<String> {
    let fact = ctx.fact(&format!("{FACT}{thumbprint}"));
    fact.and_then(Value::as_str).map(str::to_owned)
}

/// Notes that a person was asked to bring it.
pub(crate) fn asked(ctx: &Ctx, thumbprint: &str) {
    ctx.set_fact(format!("{FACT}{thumbprint}"), ASKED);
}

/// Whether a person was asked to bring it, and it was not brought by the run.
pub(crate) fn was_asked(ctx: &Ctx, thumbprint: &str) -> bool {
    noted(ctx, thumbprint).is_some_and(|how| how == ASKED)
}

/// Thumbprints of the certificates that are taken to be on the managed instance.
pub(crate) fn known(ctx: &Ctx) -> Vec<String> {
    let names = ctx.facts().keys().filter_map(|name| name.strip_prefix(FACT));
    names.map(str::to_owned).collect()
}

/// Brings it.
pub(crate) struct Bring(pub(crate) Arc<Links>);

fn parts(ctx: &Ctx) -> Result<(&ResourceId, &str), Failure> {
    match &ctx.task.action {
        Action::BringCertificate { instance, database } => Ok((instance, database)),
        _ => Err(words::misplaced(&ctx.task)),
    }
}

impl Bring {
    /// The thumbprint of the certificate that encrypts the database now, and the connection to read it through; none when the
    /// database is not encrypted.
    async fn needed(&self, database: &str) -> Result<Option<(Client, String)>, Failure> {
        let mut source = self.0.sql().await?;
        let found = facts::read_one(&mut source, database)
            .await
            .map_err(|e| words::sql(&e))?;
        let of = found.databases.iter().find(|d| d.name.eq_ignore_ascii_case(database));
        let Some(of) = of else {
            let missing = rules::CURRENT.source_missing(&found, database);
            return Err(blocked(missing.as_slice()));
        };
        let Some(thumbprint) = of.certificate.clone() else {
            if of.encrypted != Some(true) {
                return Ok(None);
            }
            return Err(Failure::of(
                FailureClass::NeedsPerson,
                "CertificateHidden",
                format!("Which certificate encrypts {database} is hidden"),
                format!(
                    "{} says that it is encrypted, and shows {} no key of it.",
                    found.name, found.login
                ),
                format!(
                    "The database administrator grants it: GRANT VIEW SERVER STATE TO {}; or adds the login to sysadmin for the time of the migration. Then choose Retry.",
                    sqlserver::quote::identifier(&found.login).unwrap_or_default()
                ),
            ));
        };
        let findings = rules::CURRENT.judge_sql(&SqlCase {
            instance: &found,
            target: &SqlTarget::default(),
            way: &SqlWay {
                certificate: true,
                ..SqlWay::default()
            },
            method: DatabaseMethod::LogReplay,
            databases: &[(of, database)],
        });
        match findings.into_iter().find(|f| f.rule == "sql-tde-key") {
            Some(kept) => Err(blocked(&[kept])),
            None => Ok(Some((source, thumbprint))),
        }
    }
}

#[async_trait::async_trait]
impl TaskKind for Bring {
    async fn observe(&self, ctx: &Ctx) -> Result<Observed, Failure> {
        let (instance, database) = parts(ctx)?;
        let Some((_, thumbprint)) = self.needed(database).await? else {
            return Ok(Observed::NotNeeded(format!(
                "{database} is not encrypted (TDE): there is no certificate to bring."
            )));
        };
        if noted(ctx, &thumbprint).is_some_and(|how| how == BROUGHT) {
            ctx.evidence(format!(
                "The certificate {thumbprint} was brought to {} before.",
                instance.name()
            ));
            return Ok(Observed::Matches);
        }
        Ok(Observed::Absent)
    }

    async fn apply(&self, ctx: &Ctx) -> Result<Option<Handle>, Failure> {
        let (instance, database) = parts(ctx)?;
        let Some((mut source, thumbprint)) = self.needed(database).await? else {
            return Ok(None);
        };
        // Of four kinds of characters, as Windows' policy wants them.
        let password = Secret::new(format!("Rh1-{}", hex::encode(rand::random::<[u8; 24]>())));
        let certificate = sqlserver::certificate::read(&mut source, &thumbprint, &password)
            .await
            .map_err(|e| refused(&e))?;
        let pfx = certificate.pfx(&password).map_err(|e| refused(&e))?;
        let body = json!({ "properties": {
            "privateBlob": BASE64_STANDARD.encode(pfx.expose()), "certPassword": password.expose(),
        } });
        let started = self.0.arm(ctx).post(instance, "tdeCertificates", Some(&body)).await;
        let started = started.map_err(words::azure)?;
        ctx.evidence(format!(
            "{} with the thumbprint {thumbprint} and its private key were read from {} and handed to {}.",
            certificate.name,
            source.server(),
            instance.name()
        ));
        Ok(handle(&started))
    }

    async fn settle(&self, ctx: &Ctx, handle: &Handle) -> Result<(), Failure> {
        follow(&self.0, ctx, handle, &Follow::Operation, None).await
    }

    async fn verify(&self, ctx: &Ctx) -> Result<(), Failure> {
        let (instance, database) = parts(ctx)?;
        if let Some((_, thumbprint)) = self.needed(database).await? {
            ctx.set_fact(format!("{FACT}{thumbprint}"), BROUGHT);
            ctx.evidence(format!(
                "Azure has taken the certificate {thumbprint} for {}. The instance itself does not show it; the restore uses it.",
                instance.name()
            ));
        }
        Ok(())
    }

    async fn undo(&self, ctx: &Ctx) -> Result<(), Failure> {
        Err(Failure::of(
            FailureClass::NeedsPerson,
            "NoWayBack",
            format!("{} can't be taken back by Rehost", ctx.task.title),
            ctx.task.way_back.clone(),
            "There is nothing to do by hand either.",
        ))
    }

    fn intent(&self, ctx: &Ctx) -> String {
        ctx.task.calls.join(", ")
    }
}

/// What SQL Server does not give needs a person; what it could not say may be asked again.
fn refused(e: &SqlError) -> Failure {
    let mut f = words::sql(e);
    if matches!(e, SqlError::PrivateKey { .. }) {
        f.class = FailureClass::NeedsPerson;
        f.hint.push_str(" Then choose Retry.");
    }
    f
}
