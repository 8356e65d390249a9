//! Certificates for restores (TDE), uploaded to a managed instance: the file is opened as the service would, and nobody sees it
//! again. The codes are those of Microsoft.Sql 2021-11-01, `ManagedInstanceTdeCertificates_Create`.

use super::{Answer, Refusal, Req, Resp, lro, text};
use crate::{tds::certificate, world::World};

const SECS: i64 = 60;

/// Answers POST `{managed instance}/tdeCertificates`.
pub(super) fn upload(world: &mut World, req: &Req, instance: &str) -> Answer {
    let Some(found) = world.cloud.get(instance) else {
        return Err(Refusal::not_found(req));
    };
    let region = found["location"].as_str().unwrap_or_default().to_owned();
    let blob = text(&req.body, "/properties/privateBlob").filter(|b| !b.is_empty());
    let Some(blob) = blob else {
        return Err(Refusal::bad("MissingPrivateBlob", "The private blob is missing."));
    };
    let password = text(&req.body, "/properties/certPassword").unwrap_or_default();
    let thumbprint = if world.replaying {
        // The diary keeps no keys; this lab has but one certificate.
        certificate::thumbprint()
    } else {
        certificate::open(blob, password).map_err(|(code, message)| Refusal::bad(code, message))?
    };
    world.managed.uploads.push((blob.to_owned(), password.to_owned()));
    let style = lro::Style::TdeCertificate;
    let operation = lro::start(world, style, &region, None, SECS, instance, move |w| {
        w.managed.certificates.insert(thumbprint);
        Ok(())
    });
    Ok(Resp::empty(202).with(lro::headers(world, req, &operation)))
}
