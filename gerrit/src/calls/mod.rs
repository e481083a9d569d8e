//! The server's calls, by what they are about. Each says in its documentation what Gerrit's REST documentation has more words for.

mod account;
mod change;
mod content;
mod edit;
mod group;
mod project;
mod project_config;
mod project_list;
mod revision;
mod server;

pub use self::account::Account;
pub use self::change::Change;
pub use self::edit::Edit;
pub use self::group::Group;
pub use self::project::Project;
pub use self::project_list::{ProjectList, RefFilter};
pub use self::revision::Revision;
pub use self::server::Server;
