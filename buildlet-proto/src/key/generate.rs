use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, PKCS_RSA_SHA256, SerialNumber};
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use rsa::rand_core::{OsRng, RngCore as _};

use super::KeyPair;

const KEY_BITS: usize = 2048;
const LIFETIME: Duration = Duration::from_secs(5 * 365 * 24 * 60 * 60);

impl KeyPair {
    /// Makes a pair as upstream's coordinator does: RSA of 2048 bits, a certificate that signs itself, for `localhost`, for five
    /// years from now.
    ///
    /// It takes tenths of a second of computing, and tens of seconds in a build without optimisation, so call it on a thread
    /// that may block.
    ///
    /// # Errors
    ///
    /// When the system gives no random numbers.
    pub fn generate() -> Result<Self, GenerateKeyPairError> {
        generate().map_err(GenerateKeyPairError)
    }
}

fn generate() -> Result<KeyPair, Box<dyn Error + Send + Sync>> {
    let key = RsaPrivateKey::new(&mut OsRng, KEY_BITS)?;
    let signing = rcgen::KeyPair::from_pkcs8_pem_and_sign_algo(
        &key.to_pkcs8_pem(LineEnding::LF)?,
        &PKCS_RSA_SHA256,
    )?;
    let mut params = CertificateParams::new(["localhost".to_owned()])?;
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Gopher Co");
    params.distinguished_name = name;
    let mut serial = [0; 16];
    OsRng.try_fill_bytes(&mut serial)?;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let now = SystemTime::now();
    params.not_before = now.into();
    params.not_after = (now + LIFETIME).into();
    let cert = params.self_signed(&signing)?;
    // The form of the key decides the password, which is made of its text.
    let key_pem = key.to_pkcs1_pem(LineEnding::LF)?;
    Ok(KeyPair::new(cert.pem(), key_pem.as_str()))
}

/// A key pair could not be made.
#[derive(Debug)]
pub struct GenerateKeyPairError(Box<dyn Error + Send + Sync>);

impl fmt::Display for GenerateKeyPairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot make a key pair")
    }
}

impl Error for GenerateKeyPairError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
