//! Any bytes: nothing that a peer sends makes a parser panic, what is read survives a second trip, and no accepted path
//! leaves its base.

#![no_main]

use buildlet_proto::types::ext::{ArchiveFormat, Enforced, LimitHit, ResumeKey, Usage};
use buildlet_proto::types::{
    DirEntry, EnvList, EnvStyle, ExecRequest, FileMode, Form, GoQuoted, ListRequest, PathStyle,
    ProcessState, RelativePath, Status, WriteRequest, windows_path,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    form(bytes);
    path(bytes);
    let text = String::from_utf8_lossy(bytes);

    if let Ok(entry) = DirEntry::parse(bytes) {
        let mut line = Vec::new();
        entry.write_line(&mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        assert_eq!(DirEntry::parse(&line), Ok(entry));
    }
    if let Ok(mode) = text.parse::<FileMode>() {
        assert_eq!(mode.to_string(), text);
    }
    let _ = FileMode::from_decimal(&text);
    let state = ProcessState::parse(&text);
    assert_eq!(
        ProcessState::parse(&state.to_string()).to_string(),
        state.to_string()
    );
    assert!(!state.to_string().contains(['\r', '\n', '\0']));
    let quoted = GoQuoted(bytes).to_string();
    assert!(!quoted.contains(|c: char| c.is_control()));

    if let Ok(status) = Status::from_json(bytes) {
        let again = Status::from_json(status.to_json().as_bytes()).unwrap();
        // Those of a buildlet that says nothing else of itself are not written.
        assert!(again.kept() == status.kept() || status.implementation().is_none());
    }
    if let Ok(key) = text.parse::<ResumeKey>() {
        assert_eq!(key.to_text(), text);
    }
    if let Some(enforced) = Enforced::parse(&text) {
        assert_eq!(Enforced::parse(&enforced.to_string()), Some(enforced));
    }
    let usage = Usage::parse(&text);
    assert_eq!(Usage::parse(&usage.to_string()), usage);
    let _ = (
        LimitHit::parse(&text),
        ArchiveFormat::negotiate(Some(bytes)),
    );
    environment(&text);
});

fn form(bytes: &[u8]) {
    let Ok(form) = Form::parse(bytes) else { return };
    let encoded = form.encode();
    let again = Form::parse(encoded.as_bytes()).unwrap();
    assert_eq!(again.encode(), encoded);
    if let Ok(request) = ExecRequest::from_forms(&form, &form) {
        assert_eq!(
            ExecRequest::from_forms(&Form::new(), &request.to_form()).as_ref(),
            Ok(&request)
        );
    }
    if let Ok(request) = WriteRequest::from_form(&form) {
        assert_eq!(WriteRequest::from_form(&request.to_form()), Ok(request));
    }
    let request = ListRequest::from_form(&form);
    assert_eq!(ListRequest::from_form(&request.to_form()), request);
}

fn path(bytes: &[u8]) {
    for (style, separators) in [(PathStyle::Unix, &b"/"[..]), (PathStyle::Windows, br"/\")] {
        let Ok(path) = RelativePath::parse(bytes, style) else {
            continue;
        };
        let clean = path.as_path().as_os_str().as_encoded_bytes();
        assert!(!clean.is_empty() && !separators.contains(&clean[0]));
        assert!(
            clean
                .split(|byte| separators.contains(byte))
                .all(|part| part != b"..")
        );
        assert!(style == PathStyle::Unix || clean.get(1) != Some(&b':'));
        // Cleaning twice changes nothing.
        let again = RelativePath::parse(clean, style).unwrap();
        assert_eq!(again.as_path(), path.as_path());
    }
}

fn environment(text: &str) {
    let _ = windows_path(text, "386");
    for style in [EnvStyle::Unix, EnvStyle::Windows, EnvStyle::Plan9] {
        let mut env = EnvList::new(style, text.lines());
        env.apply_path(&["$PATH".into(), text.into()], "/w$PATH".as_ref());
        env.deduplicate();
        let once = env.clone();
        env.deduplicate();
        assert_eq!(env, once);
    }
}
