//! Boots a worker: waits for the network, fetches the buildlet, checks it, runs it, and again.

mod args;
mod backoff;
mod binary;
mod child;
mod digest;
mod fetch;
mod hosts;
mod network;
mod platform;
mod rounds;
mod signals;
mod untar;
mod web;

use std::process::ExitCode;

use crate::args::{Args, Job};

fn main() -> ExitCode {
    program::run(|args: Args| {
        args.log.start();
        match args.job()? {
            Job::Untar { file, dir } => untar::run(&file, &dir),
            Job::Boot(plan) => rounds::run(&plan),
        }
    })
}
