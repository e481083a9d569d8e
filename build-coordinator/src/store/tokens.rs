use std::fmt;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::database::sql;
use super::row::{Row, corrupt};
use super::store::check_name;
use super::writer::{Tx, Write};
use super::{Store, StoreError};
use crate::model::{Scope, Timestamp, Token, TokenId};

/// What every token begins with, so that tools that look for secrets in files can find them.
const PREFIX: &str = "bskt_";

/// How exactly the last use of a token is known.
const USE_INTERVAL: Duration = Duration::from_secs(60);

const TOKEN: &str = "id, name, scope, created, expires, revoked, last_used, hash";

/// A token in full: whoever has it may do what it allows. It is not stored, so it can be shown only once.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(String);

impl TokenText {
    /// The text to send as `Authorization: Bearer ...`: letters, digits and underscores.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(..)")
    }
}

impl Store {
    /// Makes a token that ends at `expires`, or never.
    ///
    /// # Errors
    ///
    /// [`StoreError::Name`], or the database's.
    pub async fn create_token(
        &self,
        at: Timestamp,
        name: &str,
        scope: Scope,
        expires: Option<Timestamp>,
    ) -> Result<(Token, TokenText), StoreError> {
        check_name("name of the token", name)?;
        let mut random = [0; 40];
        getrandom::fill(&mut random).map_err(|error| StoreError::Database(Box::new(error)))?;
        let (id, secret) = random.split_at(8);
        let (id, secret) = (hex(id), hex(secret));
        let token = Token {
            id: TokenId(id.clone()),
            name: name.to_owned(),
            scope,
            created: at,
            expires,
            revoked: None,
            last_used: None,
        };
        self.write(CreateToken {
            token: token.clone(),
            hash: Sha256::digest(&secret).to_vec(),
        })
        .await?;
        Ok((token, TokenText(format!("{PREFIX}{id}_{secret}"))))
    }

    /// The token that `text` is, if it is one that can be used at the time `at`. Takes the same time however much of a
    /// secret is right.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn check_token(
        &self,
        at: Timestamp,
        text: &str,
    ) -> Result<Option<Token>, StoreError> {
        let Some((id, secret)) = split(text) else {
            return Ok(None);
        };
        let select = sql(format!("SELECT {TOKEN} FROM tokens WHERE id = $1")).bind(id);
        let row = self
            .readers()
            .snapshot()
            .await?
            .session()
            .row(select)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let right: bool = row.bytes(7)?.ct_eq(&Sha256::digest(secret)).into();
        let token = token_of(&row)?;
        let expired = token.expires.is_some_and(|expires| expires <= at);
        if !right || expired || token.revoked.is_some() {
            return Ok(None);
        }
        if token
            .last_used
            .is_none_or(|last| at.since(last) >= USE_INTERVAL)
        {
            let id = token.id.clone();
            self.write(SetTokenTime {
                id,
                at,
                text: "UPDATE tokens SET last_used = $2 WHERE id = $1",
            })
            .await?;
        }
        Ok(Some(token))
    }

    /// Takes a token back; false if there is none with this id that was not yet.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn revoke_token(&self, at: Timestamp, id: &TokenId) -> Result<bool, StoreError> {
        self.write(SetTokenTime {
            id: id.clone(),
            at,
            text: "UPDATE tokens SET revoked = $2 WHERE id = $1 AND revoked IS NULL",
        })
        .await
    }

    /// All tokens, also those that ended; at most 10,000.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        let select = sql(format!(
            "SELECT {TOKEN} FROM tokens ORDER BY created, id LIMIT 10000"
        ));
        let mut snapshot = self.readers().snapshot().await?;
        let rows = snapshot.session().rows(select).await?;
        rows.iter().map(token_of).collect()
    }
}

/// The id and the secret of a token's text.
fn split(text: &str) -> Option<(&str, &str)> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (id.len() == 16 && secret.len() == 64 && hex(id) && hex(secret)).then_some((id, secret))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn token_of(row: &Row) -> Result<Token, StoreError> {
    let scope = row.text(2)?;
    Ok(Token {
        id: TokenId(row.text(0)?),
        name: row.text(1)?,
        scope: Scope::ALL
            .into_iter()
            .find(|known| known.as_str() == scope)
            .ok_or_else(|| corrupt("scope", scope))?,
        created: row.time(3)?,
        expires: row.opt_time(4)?,
        revoked: row.opt_time(5)?,
        last_used: row.opt_time(6)?,
    })
}

struct CreateToken {
    token: Token,
    hash: Vec<u8>,
}

impl Write for CreateToken {
    type Answer = ();

    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let insert = sql(
            "INSERT INTO tokens (id, hash, name, scope, created, expires) VALUES ($1, $2, $3, $4, $5, $6)",
        );
        let insert = insert
            .bind(self.token.id.as_str())
            .bind(self.hash.clone())
            .bind(self.token.name.as_str())
            .bind(self.token.scope.as_str())
            .bind(self.token.created)
            .bind(self.token.expires);
        tx.session.run(insert).await?;
        Ok(())
    }
}

struct SetTokenTime {
    id: TokenId,
    at: Timestamp,
    text: &'static str,
}

impl Write for SetTokenTime {
    type Answer = bool;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let update = sql(self.text).bind(self.id.as_str()).bind(self.at);
        Ok(tx.session.run(update).await? == 1)
    }
}
