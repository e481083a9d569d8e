//! Keys of builders, and the password of a buildlet.
//!
//! A builder key is HMAC-MD5 of the builder's name under a master key, in hexadecimal digits
//! (`golang.org/x/build/cmd/coordinator`, `cmd/genbuilderkey`): whoever holds the master key can check any builder, and a
//! builder can be nobody else. MD5 is weak as a hash, not as a MAC; the wire leaves no choice.

#[cfg(feature = "keypair")]
mod generate;
mod key_file;
mod key_pair;
mod master_key;
mod secret;

#[cfg(feature = "keypair")]
pub use self::generate::GenerateKeyPairError;
pub use self::key_file::{KeyFile, ReadKeyError};
pub use self::key_pair::KeyPair;
pub use self::master_key::{BuilderKey, EmptyMasterKey, MasterKey};
pub use self::secret::{password_from_key_pem, same_secret};
