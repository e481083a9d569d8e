use crate::model::Scope;
use crate::web::backend::{Actor, Identity};

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Somebody on this machine.
    Local,
    /// The holder of a token.
    Holder(Identity),
    /// Somebody else.
    Anonymous,
}

/// Who makes a request, and what a form must bring to be theirs.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) who: Who,
    /// What their forms carry.
    pub(super) csrf: String,
    /// The key of their session, if they have signed in with a browser.
    pub(super) session: Option<String>,
    /// Under which address they see us, as in `https://ci.example.org`.
    pub(super) origin: String,
}

impl Caller {
    /// Builds.
    pub(super) fn may_change(&self) -> bool {
        self.may(Scope::Change)
    }

    /// Machines, tokens and the configuration.
    pub(super) fn may_administer(&self) -> bool {
        self.may(Scope::Admin)
    }

    fn may(&self, scope: Scope) -> bool {
        match &self.who {
            Who::Local => true,
            Who::Holder(identity) => identity.scope >= scope,
            Who::Anonymous => false,
        }
    }

    pub(super) fn actor(&self) -> Actor {
        match &self.who {
            Who::Local => Actor::named("local"),
            Who::Holder(identity) => Actor::named(&identity.name),
            Who::Anonymous => Actor::named("anonymous"),
        }
    }
}
