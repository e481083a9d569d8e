//! Real programs read what we write, and we read what they write.

use harness::Program;
use pargzip::{Config, ReaderConfig};

use crate::data::{backends, compress, decompress, noise, single, text};

fn input() -> Vec<u8> {
    [text(2_500_000), noise(300_000), vec![0; 1 << 20], text(10)].concat()
}

/// Every kind of file that the writer makes.
fn files(data: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![
        (
            "one member".to_owned(),
            compress(data, single(Config::default())),
        ),
        (
            "one member of small chunks".to_owned(),
            compress(data, single(Config::default().chunk_size(20_000))),
        ),
    ];
    for backend in backends() {
        let config = Config::default()
            .backend(backend)
            .file_name("name")
            .mtime(1);
        files.push((
            format!("members, {backend}"),
            compress(data, config.clone()),
        ));
        files.push((
            format!("members and index, {backend}"),
            compress(data, config.index(true)),
        ));
    }
    files
}

fn reads_ours(program: &Program, args: &[&str]) {
    for data in [input(), Vec::new()] {
        for (name, gz) in files(&data) {
            let output = program.filter(args, &gz).unwrap();
            assert!(
                output.status.success(),
                "{name}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(output.stdout == data, "{name}: other bytes came back");
        }
    }
}

fn is_read_by_us(program: &Program, args: &[&str]) {
    let data = input();
    let output = program.filter(args, &data).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for backend in backends() {
        let config = ReaderConfig::default().threads(3).backend(backend);
        assert!(
            decompress(&output.stdout, config).unwrap() == data,
            "{backend}: other bytes came back"
        );
    }
}

#[test]
fn gos_gzip_reads_ours() {
    let Some(go) = harness::peer_or_skip("gogunzip") else {
        return;
    };
    reads_ours(&go, &[]);
}

#[test]
fn gos_pargzip_is_read_by_us() {
    let Some(go) = harness::peer_or_skip("gopargzip") else {
        return;
    };
    is_read_by_us(&go, &[]);
    is_read_by_us(&go, &["-chunk", "5000", "-p", "3"]);
}

#[test]
fn gos_pargzip_cuts_members_where_we_do() {
    let Some(go) = harness::peer_or_skip("gopargzip") else {
        return;
    };
    let data = input();
    let lengths = |gz: &[u8]| -> Vec<u64> {
        let mut lengths = Vec::new();
        let mut rest = gz;
        while !rest.is_empty() {
            let mut member = flate2::bufread::GzDecoder::new(rest);
            lengths.push(std::io::copy(&mut member, &mut std::io::sink()).unwrap());
            rest = member.into_inner();
        }
        lengths
    };
    let theirs = go.filter(&[], &data).unwrap().stdout;
    let ours = compress(&data, Config::default());
    assert_eq!(lengths(&ours), lengths(&theirs));
    assert_eq!(ours[..10], theirs[..10], "the same header");
}

#[test]
fn gunzip_reads_ours() {
    let Some(gunzip) = harness::tool_or_skip("gunzip") else {
        return;
    };
    reads_ours(&gunzip, &["-c"]);
}

#[test]
fn gzip_is_read_by_us() {
    let Some(gzip) = harness::tool_or_skip("gzip") else {
        return;
    };
    is_read_by_us(&gzip, &["-c"]);
}

#[test]
fn pigz_reads_ours() {
    let Some(pigz) = harness::tool_or_skip("pigz") else {
        return;
    };
    reads_ours(&pigz, &["-dc"]);
}

#[test]
fn pigz_is_read_by_us() {
    let Some(pigz) = harness::tool_or_skip("pigz") else {
        return;
    };
    is_read_by_us(&pigz, &["-c"]);
    is_read_by_us(&pigz, &["-c", "-i", "-b", "128"]);
}

#[test]
fn python_reads_ours() {
    let Some(python) = harness::tool_or_skip("python3") else {
        return;
    };
    let program =
        "import gzip, sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";
    reads_ours(&python, &["-c", program]);
}
