//! Both databases keep the same promises: each test here runs on both.

mod builds;
mod commits;
mod crash;
#[cfg(feature = "postgres")]
mod lease;
mod prune;
mod records;
mod replay;
mod support;

/// Makes tests of functions that take a [`Scratch`](support::Scratch): one for each database.
macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::store::support::sqlite().await).await;
            })*
        }

        #[cfg(feature = "postgres")]
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                if let Some(scratch) = $crate::store::support::postgres().await {
                    super::$name(scratch).await;
                }
            })*
        }
    };
}

use on_both_databases;
