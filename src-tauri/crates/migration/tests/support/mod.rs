//! What the tests against a lab share.
#![allow(clippy::unwrap_used)]

use azure::{Arm, Limits, auth};
use engine::Clock;
use jiff::Timestamp;
use lab::{Lab, LabClock};
use migration::{Migration, Systems};
use plan::{
    Connections,
    design::{AzureConnection, VCenterConnection},
};
use secrets::Secret;
use std::sync::Arc;

/// The lab's time as the engine's.
pub struct LabTime(pub Arc<LabClock>);

#[async_trait::async_trait]
impl Clock for LabTime {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
    async fn sleep_until(&self, until: Timestamp) {
        self.0.sleep_until(until).await;
    }
    fn awake(&self) -> engine::clock::Awake {
        let guard = self.0.awake();
        engine::clock::Awake(Some(Box::new(move || drop(guard))))
    }
}

pub fn connections(a: &lab::Addresses) -> Connections {
    Connections {
        vcenter: VCenterConnection {
            url: a.vcenter.clone(),
            user: a.vcenter_user.clone(),
            thumbprint: a.vcenter_thumbprint.clone(),
            ..VCenterConnection::default()
        },
        azure: AzureConnection {
            arm_url: a.arm.clone(),
            authority_url: a.authority.clone(),
            blob_url: a.blob.clone(),
            tenant_id: a.tenant_id.clone(),
            client_id: a.client_id.clone(),
            subscription_id: a.subscription_id.clone(),
            ca_pem: a.ca_pem.clone(),
            ..AzureConnection::default()
        },
    }
}

#[async_trait::async_trait]
impl azure::limits::Time for LabTime {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
    async fn sleep_until(&self, until: Timestamp) {
        self.0.wait_until(until).await;
    }
}

/// The tasks' kinds bound to a lab, as a run has them.
pub fn runner(lab: &Lab) -> Arc<Migration> {
    let a = lab.addresses();
    let c = connections(&a);
    let credential = auth::client_secret(&c.azure, Secret::new(a.client_secret.clone())).unwrap();
    Arc::new(Migration::new(Systems {
        arm: Arm::connect(&c.azure, credential)
            .unwrap()
            .limited(Limits::new(Arc::new(LabTime(lab.clock())))),
        vcenter: c.vcenter,
        vcenter_credentials: Secret::new(a.vcenter_password.clone()).into(),
        secrets: {
            let (sql, share) = (a.sql_password.clone(), a.share_password.clone());
            Arc::new(move |name| {
                let found = match name {
                    "mi-admin" => "Canary-Adm1n-Passw0rd",
                    "sql-source" => sql.as_str(),
                    "backup-share" => share.as_str(),
                    _ => return None,
                };
                Some(Secret::from(found))
            })
        },
    }))
}
