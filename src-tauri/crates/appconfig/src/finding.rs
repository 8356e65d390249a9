//! What a person should know about a configuration, in words.

use sqlserver::connection::BadConnectionString;

/// Something in a file that was seen and not switched, or that makes the switch doubtful.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    #[error(
        "It is a transform: it changes another file when the application is published, and is not read by IIS. It was left alone."
    )]
    Transform,
    #[error("No connection string that leads to the source database is called {0}.")]
    NameMissing(String),
    #[error("No connection string leads to the source database.")]
    NoneFound,
    #[error("Line {line}: {name} names the database, but on the server {server}, which is not known as the source.")]
    OtherServer { line: usize, name: String, server: String },
    #[error("Line {line}: {name} leads to the source server without naming a database; the login decides which one.")]
    NoDatabase { line: usize, name: String },
    #[error("Line {line}: {name} is no connection string that can be read. {why}")]
    Unreadable {
        line: usize,
        name: String,
        why: BadConnectionString,
    },
    #[error("Line {line}: {name} leads to the source database, and is broken up by comments or elements.")]
    Mixed { line: usize, name: String },
    #[error("Line {line}: {name} leads to the source server through {provider}, which is no provider for SQL Server.")]
    Provider {
        line: usize,
        name: String,
        provider: String,
    },
    #[error("{name} stands {times} times and was switched at each place.")]
    Twice { name: String, times: usize },
    #[error(
        "The values of {section} are made by the configuration builder {builder} when the application starts; what stands in the file may have no effect."
    )]
    Built { section: String, builder: String },
    #[error("{section} is encrypted by {provider}.")]
    Encrypted { section: String, provider: String },
}

impl Finding {
    /// Whether the switch must wait until a person has looked.
    pub fn blocks(&self) -> bool {
        !matches!(
            self,
            Finding::Transform | Finding::Twice { .. } | Finding::Provider { .. } | Finding::Built { .. }
        )
    }

    /// What a person can do.
    pub fn cure(&self) -> &'static str {
        match self {
            Finding::Transform | Finding::Twice { .. } => "Nothing to do.",
            Finding::NameMissing(_) | Finding::NoneFound => {
                "Correct the path of web.config or the name of the connection string in Design; a server under another name is entered in Connections, SQL Server."
            }
            Finding::OtherServer { .. } => {
                "When it is the source under another name, enter that name in Connections, SQL Server; otherwise rename the string's database or remove the string."
            }
            Finding::NoDatabase { .. } => "Add Initial Catalog to the string on the machine.",
            Finding::Unreadable { .. } => {
                "Correct it on the machine: values with ; or quotation marks stand in quotation marks."
            }
            Finding::Mixed { .. } => "Write the value in one piece on the machine.",
            Finding::Provider { .. } => "Check that the application does not use it.",
            Finding::Built { .. } => "Change the value where the builder takes it from.",
            Finding::Encrypted { .. } => {
                "Decrypt it with aspnet_regiis.exe -pdf, and encrypt it again after the switch with -pef."
            }
        }
    }
}
