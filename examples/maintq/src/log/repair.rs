use std::process::ExitCode;

use maintner::reclog::{Examined, Repaired, examine, repair};

use crate::args::FilesArgs;
use crate::output::line;

/// Says what would be repaired, or repairs it. The exit status is 1 if something is left to do.
pub(super) fn run(files: &FilesArgs, write: bool) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for path in files.paths()? {
        let name = line(&path.display().to_string());
        let examined = examine(&path, |_| {})?;
        if examined.damage.is_empty() {
            println!("{name}: {} records, nothing to repair", examined.records);
            continue;
        }
        if write {
            let repaired = repair(&path)?;
            tell(&name, &repaired.examined, "moved");
            tell_where(&repaired);
        } else {
            tell(&name, &examined, "to be moved");
            code = ExitCode::FAILURE;
        }
    }
    if code == ExitCode::FAILURE {
        println!("nothing was changed; --write repairs");
    }
    Ok(code)
}

fn tell(name: &str, examined: &Examined, done: &str) {
    println!("{name}: {} whole records are kept", examined.records);
    for damage in &examined.damage {
        let bytes = damage.bytes.end - damage.bytes.start;
        println!("    {}: {bytes} bytes {done} aside", damage.error);
    }
    if !examined.is_torn() && !examined.damage.is_empty() {
        println!(
            "    records stand behind the damage: the file is written anew, and those who follow it must read it from the beginning"
        );
    }
}

fn tell_where(repaired: &Repaired) {
    for moved in &repaired.moved_to {
        println!("    moved to {}", line(&moved.display().to_string()));
    }
    if let Some(kept) = &repaired.kept {
        println!(
            "    the file as it was: {}",
            line(&kept.display().to_string())
        );
    }
}
