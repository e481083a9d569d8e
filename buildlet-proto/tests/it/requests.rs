use std::time::Duration;

use buildlet_proto::types::ext::{Isolation, Network};
use buildlet_proto::types::{ExecRequest, FileMode, Form, ListRequest, WriteRequest};

fn parse(encoded: &str) -> Form {
    Form::parse(encoded.as_bytes()).unwrap()
}

#[test]
fn a_command_with_everything_survives_a_trip() {
    let request = ExecRequest::new("bash")
        .args(["-c", "", "echo $X; exit"])
        .dir("a b")
        .env("A=1")
        .env("B=a&b=c")
        .path(["/x", "$PATH"])
        .system_level(true)
        .debug(true)
        .timeout(Duration::from_millis(1500))
        .isolation(Isolation::Sandbox)
        .network(Network::Off);
    let form = request.to_form();
    let back = ExecRequest::from_forms(&Form::new(), &parse(&form.encode())).unwrap();
    assert_eq!(back, request);
}

#[test]
fn no_path_elements_clear_the_path() {
    let request = ExecRequest::new("x").path(Vec::<String>::new());
    assert_eq!(request.to_form().get("path"), Some(&b"$EMPTY"[..]));
}

#[test]
fn lists_count_in_the_body_alone_and_the_body_goes_first() {
    let query = parse("cmd=q&mode=sys&env=Q%3D1&cmdArg=zz&path=x&dir=q&debug=1");
    let body = parse("env=B%3D1&dir=b&debug=0");
    let request = ExecRequest::from_forms(&query, &body).unwrap();
    assert_eq!(
        (request.cmd(), request.directory()),
        ("q".as_ref(), "b".as_ref())
    );
    assert_eq!(request.environment(), ["B=1"]);
    assert!(request.arguments().is_empty() && request.path_elements().is_none());
    assert!(request.is_system_level() && !request.is_debug());
}

#[test]
fn a_limit_that_cannot_be_read_is_refused_rather_than_lost() {
    for (field, name) in [
        ("timeout=5", "timeout"),
        ("timeout=+5ms", "timeout"),
        ("timeout=99999999999999999999ms", "timeout"),
        ("isolation=jail", "isolation"),
        ("network=no", "network"),
    ] {
        let error = ExecRequest::from_forms(&Form::new(), &parse(field)).unwrap_err();
        assert_eq!(error.to_string(), format!("invalid '{name}' parameter"));
    }
}

#[cfg(unix)]
#[test]
fn arguments_need_not_be_text() {
    use std::os::unix::ffi::OsStringExt as _;
    let arg = std::ffi::OsString::from_vec(b"a\xff\n".to_vec());
    let request = ExecRequest::new("x").arg(arg.clone());
    let encoded = request.to_form().encode();
    assert!(encoded.contains("cmdArg=a%FF%0A"), "{encoded}");
    let back = ExecRequest::from_forms(&Form::new(), &parse(&encoded)).unwrap();
    assert_eq!(back.arguments(), [arg]);
}

#[test]
fn listings_are_asked_for_in_full() {
    let request = ListRequest::new("go")
        .recursive(true)
        .digest(true)
        .skip("b")
        .skip("a/c");
    assert_eq!(
        request.to_form().encode(),
        "digest=true&dir=go&recursive=true&skip=b&skip=a%2Fc"
    );
    assert_eq!(ListRequest::from_form(&request.to_form()), request);
    assert_eq!(ListRequest::from_form(&Form::new()), ListRequest::new(""));
}

#[test]
fn a_file_is_written_with_a_decimal_mode_of_a_regular_file() {
    let request = WriteRequest::new("dir/f&g", FileMode::from_unix(0o755));
    assert_eq!(request.to_form().encode(), "mode=493&path=dir%2Ff%26g");
    assert_eq!(WriteRequest::from_form(&request.to_form()), Ok(request));
    for bad in [
        "path=f",
        "mode=0o644",
        "mode=-1",
        "mode=2147484141",
        "mode=134218239",
    ] {
        assert!(WriteRequest::from_form(&parse(bad)).is_err(), "{bad}");
    }
    for good in [
        "mode=8389101&path=f",
        "mode=1048996&path=f",
        "mode=4294967716",
        "mode=0",
    ] {
        assert!(WriteRequest::from_form(&parse(good)).is_ok(), "{good}");
    }
}
